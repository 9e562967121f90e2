//! A careful client: tries again where the contract says so, with the same key.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::RETRY_AFTER;

use super::call::Call;
use super::connection::{Answer, Broken, Connection, Target};

/// How long a client goes on trying before it says that it does not know.
const TRY_AT_MOST: Duration = Duration::from_secs(30);
/// How long it waits where the server names no time.
const PAUSE: Duration = Duration::from_millis(100);

/// One connection and its owner.
#[derive(Debug)]
pub(crate) struct Client {
    connection: Connection,
}

/// What became of a call.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The last answer, or why there is none.
    pub(crate) answer: Result<Answer, Broken>,
    /// How often it was sent again.
    pub(crate) retries: u64,
    /// From the first attempt to the last answer.
    pub(crate) took: Duration,
}

impl Client {
    /// A client of this server.
    pub(crate) fn of(target: &Target) -> Self {
        Self {
            connection: Connection::to(target),
        }
    }

    /// Connects before anything is sent, so that a crowd starts together.
    ///
    /// # Errors
    /// When the server takes no connection.
    pub(crate) async fn connect(&mut self) -> Result<(), Broken> {
        self.connection.open().await
    }

    /// Sends a call until it is answered with anything but "not now".
    pub(crate) async fn send(&mut self, call: &Call) -> Answered {
        let began = Instant::now();
        let mut retries = 0;
        loop {
            let answer = self.connection.send(call).await;
            let pause = pause_before_retry(&answer);
            match pause {
                Some(pause) if began.elapsed() + pause < TRY_AT_MOST => {
                    tokio::time::sleep(pause).await;
                    retries += 1;
                }
                _ => {
                    return Answered {
                        answer,
                        retries,
                        took: began.elapsed(),
                    };
                }
            }
        }
    }
}

/// `None`: this answer stands.
fn pause_before_retry(answer: &Result<Answer, Broken>) -> Option<Duration> {
    match answer {
        Ok(answer) if is_not_now(answer.status) => Some(retry_after(answer).unwrap_or(PAUSE)),
        Ok(_) => None,
        Err(_) => Some(PAUSE),
    }
}

fn is_not_now(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    )
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer
        .headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}
