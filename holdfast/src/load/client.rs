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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::HeaderMap;
    use axum::response::IntoResponse;
    use axum::routing::post;
    use contract::headers::IDEMPOTENCY_KEY;
    use hyper::{Method, Uri};
    use serde_json::json;

    use super::*;

    /// A server that gives these answers, one after the other, and remembers the keys.
    async fn server(answers: Vec<StatusCode>) -> (Target, Arc<Mutex<Vec<String>>>) {
        let keys = Arc::new(Mutex::new(vec![]));
        let mut left = answers.into_iter();
        let (seen, next) = (Arc::clone(&keys), Arc::new(Mutex::new(move || left.next())));
        let answer = move |headers: HeaderMap| async move {
            let key = headers[IDEMPOTENCY_KEY].to_str().unwrap().to_owned();
            seen.lock().unwrap().push(key);
            let status = (next.lock().unwrap())().unwrap();
            (status, [(RETRY_AFTER, "0")]).into_response()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let router = Router::new().route("/", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (target, keys)
    }

    #[tokio::test]
    async fn not_now_is_tried_again_under_the_same_key() {
        let answers = vec![
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::CREATED,
        ];
        let (target, keys) = server(answers).await;
        let call = Call::json(Method::POST, Uri::from_static("/"), &json!({})).under_new_key();
        let answered = Client::of(&target).send(&call).await;
        assert_eq!(answered.answer.unwrap().status, StatusCode::CREATED);
        assert_eq!(answered.retries, 2);
        let keys = keys.lock().unwrap();
        assert_eq!(keys.len(), 3);
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }

    #[tokio::test]
    async fn a_refusal_stands() {
        let (target, keys) = server(vec![StatusCode::CONFLICT]).await;
        let call = Call::json(Method::POST, Uri::from_static("/"), &json!({})).under_new_key();
        let answered = Client::of(&target).send(&call).await;
        assert_eq!(answered.answer.unwrap().status, StatusCode::CONFLICT);
        assert_eq!(keys.lock().unwrap().len(), 1);
    }
}
