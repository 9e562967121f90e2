//! What was answered, how often and how fast.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ids::OrderId;
use hdrhistogram::Histogram;
use hyper::StatusCode;
use hyper::header::LOCATION;
use uuid::Uuid;

use super::client::Answered;
use super::connection::Answer;

/// Latencies are kept in microseconds, up to this many, to three digits.
const LATENCY_MAX: u64 = 120_000_000;

/// An order that was answered with 201, and the call that placed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    /// The order.
    pub(crate) order: OrderId,
    /// The call's number.
    pub(crate) call: usize,
}

/// Everything that a crowd was answered.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// Orders answered with 201, in the order of their answers.
    pub(crate) placed: Vec<Placed>,
    /// How many answers there were of each status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Answers of 409 `out-of-stock`.
    pub(crate) sold_out: u64,
    /// Calls that were sent again.
    pub(crate) retries: u64,
    /// Calls that got no final answer.
    pub(crate) unanswered: u64,
    /// The first answer that nobody expected, for people.
    pub(crate) surprise: Option<String>,
    latencies: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            placed: vec![],
            statuses: BTreeMap::new(),
            sold_out: 0,
            retries: 0,
            unanswered: 0,
            surprise: None,
            latencies: Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("the bounds are sound"),
        }
    }
}

impl Tally {
    /// Counts what became of the call of this number.
    pub(crate) fn count(&mut self, call: usize, answered: &Answered) {
        self.retries += answered.retries;
        let microseconds = u64::try_from(answered.took.as_micros()).unwrap_or(LATENCY_MAX);
        self.latencies.saturating_record(microseconds);
        match &answered.answer {
            Ok(answer) => self.count_answer(call, answer),
            Err(broken) => {
                self.unanswered += 1;
                self.surprise.get_or_insert_with(|| broken.to_string());
            }
        }
    }

    fn count_answer(&mut self, call: usize, answer: &Answer) {
        *self.statuses.entry(answer.status.as_u16()).or_default() += 1;
        match answer.status {
            StatusCode::CREATED => match placed_order(answer) {
                Some(order) => self.placed.push(Placed { order, call }),
                None => self.surprised("a 201 without a Location that names an order", answer),
            },
            StatusCode::CONFLICT if names(answer, "out-of-stock") => self.sold_out += 1,
            StatusCode::OK => {}
            _ => self.surprised("an unexpected answer", answer),
        }
    }

    fn surprised(&mut self, by: &str, answer: &Answer) {
        self.surprise.get_or_insert_with(|| {
            format!(
                "{by}: {} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            )
        });
    }

    /// How many answers had this status.
    pub(crate) fn of(&self, status: StatusCode) -> u64 {
        self.statuses
            .get(&status.as_u16())
            .copied()
            .unwrap_or_default()
    }

    /// How many calls ended, with or without an answer.
    pub(crate) fn ended(&self) -> u64 {
        self.latencies.len()
    }

    /// Calls that were neither answered with a success nor with "sold out".
    pub(crate) fn errors(&self) -> u64 {
        self.ended() - self.of(StatusCode::CREATED) - self.of(StatusCode::OK) - self.sold_out
    }

    /// The latency that this share of the calls did not exceed (0.99 is p99).
    pub(crate) fn latency(&self, share: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(share))
    }
}

/// The order that a 201 names.
pub(crate) fn placed_order(answer: &Answer) -> Option<OrderId> {
    let location = answer.headers.get(LOCATION)?.to_str().ok()?;
    let id = location.rsplit('/').next()?;
    Uuid::try_parse(id).ok().map(OrderId)
}

/// Whether a problem document names this code. Its `type` is the only place where the code stands
/// before a quotation mark, so the bytes are searched: parsing would cost more than the request.
fn names(answer: &Answer, code: &str) -> bool {
    let end = format!("{code}\"");
    answer
        .body
        .windows(end.len())
        .any(|window| window == end.as_bytes())
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::body::Bytes;

    use super::*;

    fn answered(status: StatusCode, body: &'static str) -> Answered {
        let (headers, body) = (HeaderMap::new(), Bytes::from_static(body.as_bytes()));
        let answer = Ok(Answer {
            status,
            headers,
            body,
        });
        let took = Duration::from_millis(3);
        Answered {
            answer,
            retries: 0,
            took,
        }
    }

    #[test]
    fn sold_out_is_no_error_and_another_conflict_is() {
        let mut tally = Tally::default();
        let sold_out = r#"{"type":"/problems/out-of-stock","title":"Not enough in stock"}"#;
        tally.count(0, &answered(StatusCode::CONFLICT, sold_out));
        assert_eq!((tally.sold_out, tally.errors()), (1, 0));
        let other = r#"{"type":"/problems/discontinued","title":"Discontinued"}"#;
        tally.count(1, &answered(StatusCode::CONFLICT, other));
        assert_eq!((tally.sold_out, tally.errors()), (1, 1));
        assert!(tally.surprise.unwrap().contains("discontinued"));
    }

    #[test]
    fn an_order_is_known_by_its_location() {
        let id = Uuid::from_u128(7);
        let mut answered = answered(StatusCode::CREATED, "{}");
        let answer = answered.answer.as_mut().unwrap();
        let location = format!("/v1/orders/{id}").parse().unwrap();
        answer.headers.insert(LOCATION, location);
        let mut tally = Tally::default();
        tally.count(4, &answered);
        let order = OrderId(id);
        assert_eq!(tally.placed, [Placed { order, call: 4 }]);
    }
}
