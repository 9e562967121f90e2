//! How recoveries of the gate began, read from what the nodes said.

/// Recoveries that came to their end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recoveries {
    pub(crate) all: usize,
    /// Those that began with a snapshot.
    pub(crate) with_snapshot: usize,
    /// Those that passed over one.
    pub(crate) passed_over: usize,
}

impl Recoveries {
    /// Those of processes that said this. A fold for the next snapshot says the same of snapshots
    /// as one of a recovery, so what counts is said between the beginning and the end of one.
    pub(crate) fn of(said: &[(String, String)]) -> Self {
        let mut sum = Self::default();
        for (_, said) in said {
            let mut one = Self::default();
            for line in said.lines() {
                let is = |message: &str| line.contains(&format!("\"message\":\"{message}\""));
                if is("recovery begins") {
                    one = Self::default();
                } else if is("the fold begins with a snapshot") {
                    one.with_snapshot = 1;
                } else if is("a snapshot is not used") {
                    one.passed_over = 1;
                } else if is("the gate was rebuilt") {
                    sum += Self { all: 1, ..one };
                }
            }
        }
        sum
    }
}

impl std::ops::AddAssign for Recoveries {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.with_snapshot += other.with_snapshot;
        self.passed_over += other.passed_over;
    }
}
