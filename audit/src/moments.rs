//! Every moment of an epoch, as far as the log can tell: whether there is any order of the
//! records, each partition's in its own, in which availability never is below zero.
//!
//! Partitions are read independently, so nobody can say which order was the real one; but one of
//! them was, and in a log that keeps S1 it stays at or above zero: what gives units is in the log
//! before the gate gives them, what takes units is in the log after the gate took them. So if no
//! order stays above zero, the promise was broken, whatever any clock says.

/// Whether these chains (what each partition's records do, in order) can be put into one order
/// that begins with so many units and never falls below zero.
///
/// First everything is done that costs nothing in the end, whenever it can be afforded: a *climb*,
/// the shortest piece of a chain after which there is no less than before. What is left of each
/// chain only ever falls. That is looked at from the end, backwards, where it only climbs.
pub(crate) fn can_stay_above_zero(start: i128, chains: &[Vec<i64>]) -> bool {
    let mut rest: Vec<&[i64]> = chains.iter().map(Vec::as_slice).collect();
    let Some(level) = climb(start, &mut rest) else {
        return false;
    };
    let falls: Vec<Vec<i64>> = rest
        .iter()
        .map(|rest| rest.iter().rev().map(|quantity| -quantity).collect())
        .collect();
    let end = level - falls.iter().flatten().map(|q| i128::from(*q)).sum::<i128>();
    let mut rest: Vec<&[i64]> = falls.iter().map(Vec::as_slice).collect();
    end >= 0 && climb(end, &mut rest).is_some()
}

/// Does every climb that there is, and returns the level after them; `None` where one cannot be
/// afforded, for then nothing else will pay for it.
fn climb(mut level: i128, chains: &mut [&[i64]]) -> Option<i128> {
    let mut next: Vec<Option<Climb>> = chains.iter().map(|chain| Climb::first_of(chain)).collect();
    loop {
        let mut climbed = false;
        for (chain, next) in chains.iter_mut().zip(&mut next) {
            while let Some(climb) = next.as_ref().filter(|climb| level >= climb.costs) {
                level += climb.gains;
                *chain = &chain[climb.length..];
                *next = Climb::first_of(chain);
                climbed = true;
            }
        }
        if !climbed {
            return next.iter().all(Option::is_none).then_some(level);
        }
    }
}

struct Climb {
    length: usize,
    /// How far it falls on its way.
    costs: i128,
    gains: i128,
}

impl Climb {
    /// The shortest beginning of a chain with a sum that is not below zero.
    fn first_of(chain: &[i64]) -> Option<Self> {
        let (mut sum, mut lowest) = (0, 0);
        for (index, quantity) in chain.iter().enumerate() {
            sum += i128::from(*quantity);
            lowest = sum.min(lowest);
            if sum >= 0 {
                return Some(Self {
                    length: index + 1,
                    costs: -lowest,
                    gains: sum,
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By trying every order.
    fn by_trying(level: i128, chains: &[&[i64]]) -> bool {
        level >= 0
            && (chains.iter().all(|chain| chain.is_empty())
                || chains.iter().enumerate().any(|(index, chain)| {
                    let Some((first, rest)) = chain.split_first() else {
                        return false;
                    };
                    let mut chains = chains.to_vec();
                    chains[index] = rest;
                    by_trying(level + i128::from(*first), &chains)
                }))
    }

    #[test]
    fn it_says_what_trying_every_order_says() {
        // A small generator of numbers: the same ones in every run.
        let mut state = 1_u64;
        let mut below = |limit: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % limit
        };
        let mut possible = 0;
        for _ in 0..3_000 {
            let chains: Vec<Vec<i64>> = (0..1 + below(3))
                .map(|_| (0..below(5)).map(|_| below(9) as i64 - 4).collect())
                .collect();
            let start = i128::from(below(4));
            let slices: Vec<&[i64]> = chains.iter().map(Vec::as_slice).collect();
            let expected = by_trying(start, &slices);
            possible += u32::from(expected);
            assert_eq!(
                can_stay_above_zero(start, &chains),
                expected,
                "{start} {chains:?}"
            );
        }
        assert!(
            (500..2_500).contains(&possible),
            "both answers occur: {possible}"
        );
    }
}
