//! One connection to Redis that knows whether a call was sent.
//!
//! The protocol tells apart "did not run" and "may have run", so this does too: the task that
//! reads the socket notes when the server hung up, and a call that comes after that gets a new
//! connection before anything is sent. A server that closes idle connections is thus never seen
//! by a command. Nothing is ever sent twice from here: who asked decides whether to ask again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    Pipeline, RedisError, Value,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::RedisSettings;
use crate::gate::GateError;

pub(super) struct Connection {
    server: ConnectionInfo,
    connect_timeout: Duration,
    response_timeout: Duration,
    live: tokio::sync::Mutex<Option<Arc<Live>>>,
}

/// A connection as long as the server keeps it.
struct Live {
    sender: MultiplexedConnection,
    open: Arc<AtomicBool>,
    driver: JoinHandle<()>,
}

impl Drop for Live {
    /// A silent peer would keep the driver waiting for its answers for ever.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// A connection that is opened when it is first used.
    ///
    /// # Errors
    /// [`GateError::Misconfigured`] when the URL cannot be read; the sentence does not show it.
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, GateError> {
        Ok(Self {
            server: parse_url(&settings.url)?,
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
            live: tokio::sync::Mutex::new(None),
        })
    }

    /// Sends one command.
    pub(super) async fn call(&self, command: &Cmd) -> Result<Value, GateError> {
        let live = self.live().await?;
        let answer = command.query_async(&mut live.sender.clone()).await;
        self.judge(&live, answer).await
    }

    /// Sends commands together; the first error counts.
    pub(super) async fn call_all(&self, commands: &Pipeline) -> Result<Vec<Value>, GateError> {
        let live = self.live().await?;
        let answers = commands.query_async(&mut live.sender.clone()).await;
        self.judge(&live, answers).await
    }

    async fn judge<T>(
        &self,
        live: &Arc<Live>,
        answer: Result<T, RedisError>,
    ) -> Result<T, GateError> {
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => gate_error(&error),
        };
        if let GateError::Unanswered(_) = error {
            self.give_up(live).await;
        }
        Err(error)
    }

    /// A connection that did not answer may be half open: the next call gets another.
    async fn give_up(&self, unanswered: &Arc<Live>) {
        let mut live = self.live.lock().await;
        if live
            .as_ref()
            .is_some_and(|live| Arc::ptr_eq(live, unanswered))
        {
            *live = None;
        }
    }

    async fn live(&self) -> Result<Arc<Live>, GateError> {
        let mut live = self.live.lock().await;
        if let Some(live) = live.as_ref()
            && live.open.load(Ordering::Acquire)
        {
            return Ok(Arc::clone(live));
        }
        *live = None;
        let connected = timeout(self.connect_timeout, self.connect()).await;
        let new = connected
            .map_err(|_| GateError::NotRun("Redis does not accept connections".to_owned()))??;
        Ok(Arc::clone(live.insert(Arc::new(new))))
    }

    async fn connect(&self) -> Result<Live, GateError> {
        let refused =
            |error: std::io::Error| GateError::NotRun(format!("no connection to Redis: {error}"));
        match self.server.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port))
                    .await
                    .map_err(refused)?;
                // Without it, a small call waits for the acknowledgement of the one before.
                stream.set_nodelay(true).map_err(refused)?;
                self.log_in(stream).await
            }
            ConnectionAddr::Unix(path) => {
                self.log_in(UnixStream::connect(path).await.map_err(refused)?)
                    .await
            }
            _ => Err(misconfigured_url()),
        }
    }

    async fn log_in<S>(&self, stream: S) -> Result<Live, GateError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(self.response_timeout));
        let (sender, driver) =
            MultiplexedConnection::new_with_config(self.server.redis_settings(), stream, config)
                .await
                .map_err(|error| match gate_error(&error) {
                    GateError::Unanswered(why) | GateError::Damaged(why) => GateError::NotRun(why),
                    other => other,
                })?;
        let open = Arc::new(AtomicBool::new(true));
        let closed = Arc::clone(&open);
        let driver = tokio::spawn(async move {
            driver.await;
            closed.store(false, Ordering::Release);
        });
        Ok(Live {
            sender,
            open,
            driver,
        })
    }
}

/// Reads the URL, and refuses what would be a password that was not percent-encoded.
fn parse_url(url: &str) -> Result<ConnectionInfo, GateError> {
    let (_, rest) = url.split_once("://").ok_or_else(misconfigured_url)?;
    let after_host = rest.split_once('/').map_or("", |(_, path)| path);
    let plain = !rest.contains(['?', '#']) && !after_host.contains(['@', ':']);
    let server = url
        .into_connection_info()
        .map_err(|_| misconfigured_url())?;
    match server.addr() {
        ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) if plain => Ok(server),
        _ => Err(misconfigured_url()),
    }
}

fn misconfigured_url() -> GateError {
    GateError::Misconfigured(
        "The Redis URL cannot be read: write redis://user:password@host:port/database with the \
         password percent-encoded, or redis+unix:///path; TLS is not supported."
            .to_owned(),
    )
}

/// What an error says about whether the call ran.
fn gate_error(error: &RedisError) -> GateError {
    let Some(code) = error.code() else {
        return match error.kind() {
            ErrorKind::AuthenticationFailed => refused_log_in(),
            _ => GateError::Unanswered(error.to_string()),
        };
    };
    let text = format!("{code} {}", error.detail().unwrap_or_default());
    match code {
        "CLOSED" | "NOSCRIPT" | "READONLY" => GateError::Closed(text),
        "OOM" | "MISCONF" | "LOADING" | "BUSY" | "NOREPLICAS" | "MASTERDOWN" => {
            GateError::NotRun(text)
        }
        "NOAUTH" | "WRONGPASS" => refused_log_in(),
        "NOPERM" => GateError::Misconfigured(format!(
            "The Redis user may not do what the gate needs: {text}"
        )),
        _ => GateError::Damaged(text),
    }
}

fn refused_log_in() -> GateError {
    GateError::Misconfigured(
        "Redis refused the user name or the password in its URL, or wants one.".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_encoded_password_is_decoded() {
        let server = parse_url("redis://:p%40%2F%23%3F%2541%3A@localhost:7000/2").unwrap();
        assert_eq!(server.redis_settings().password(), Some("p@/#?%41:"));
    }

    #[test]
    fn a_password_that_is_not_encoded_is_refused_without_being_shown() {
        for url in [
            "redis://:p@/#?%41:@localhost:6379",
            "redis://user:12/3@localhost:6379",
            "redis://user:12#3@localhost",
            "redis://user:12?3@localhost",
            "user:secret12@localhost",
        ] {
            let error = parse_url(url).map(|_| ()).unwrap_err();
            assert_eq!(error, misconfigured_url(), "{url}");
            assert!(!error.to_string().contains("12"));
        }
    }
}
