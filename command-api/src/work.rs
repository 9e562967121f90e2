//! Where work is done that would hold up other tasks: hashing a password, reading a file.

use tokio::task::JoinError;

/// Where such work is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Work {
    /// On a thread beside.
    #[default]
    Beside,
    /// At once, where it is asked for. For simulations: what runs beside them ends when the machine
    /// likes, and no run would be like another.
    AtOnce,
}

impl Work {
    /// How many threads of so many may share such work.
    pub fn threads(self, wanted: usize) -> usize {
        match self {
            Self::Beside => wanted.max(1),
            Self::AtOnce => 1,
        }
    }

    /// Does it and waits for it.
    ///
    /// # Errors
    /// When it panicked, or the program is stopping.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Self::Beside => tokio::task::spawn_blocking(work).await,
            Self::AtOnce => Ok(work()),
        }
    }
}
