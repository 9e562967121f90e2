//! One keep-alive connection of HTTP/1.1.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::call::Call;

/// How long an answer may take. The server gives up on its own earlier than this.
const ANSWER_AT_MOST: Duration = Duration::from_secs(60);

/// Where a server is reached. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    host: HeaderValue,
}

impl Target {
    /// The server at `http://host:port`.
    ///
    /// # Errors
    /// One sentence where the URL is of another form or its host has no address.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let url = url.trim_end_matches('/');
        let Some(authority) = url.strip_prefix("http://") else {
            bail!(
                "{url} is not of the form http://host:port; TLS is the proxy's, so give the address behind it"
            );
        };
        let named = if authority.contains(':') {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let mut addresses = named
            .to_socket_addrs()
            .with_context(|| format!("{url} is not of the form http://host:port"))?;
        let Some(address) = addresses.next() else {
            bail!("{authority} has no address")
        };
        Ok(Self {
            address,
            host: HeaderValue::from_str(authority)?,
        })
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The whole body.
    pub(crate) body: Bytes,
}

/// No answer came; whether the request had an effect is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The server takes no connection.
    #[error("no connection: {0}")]
    Connect(#[source] std::io::Error),
    /// The connection ended.
    #[error("the connection broke: {0}")]
    Http(#[from] hyper::Error),
    /// The server said nothing for too long.
    #[error("no answer within {} s", ANSWER_AT_MOST.as_secs())]
    Silent,
}

/// A connection that is made anew when it broke.
#[derive(Debug)]
pub(crate) struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A connection that is made when it is first needed.
    pub(crate) fn to(target: &Target) -> Self {
        Self {
            target: target.clone(),
            sender: None,
        }
    }

    /// Connects, if it is not connected already.
    ///
    /// # Errors
    /// When the server takes no connection.
    pub(crate) async fn open(&mut self) -> Result<(), Broken> {
        self.ready().await.map(|_| ())
    }

    /// Sends a call and waits for the whole answer. Once.
    ///
    /// # Errors
    /// When no answer came. The next call connects anew.
    pub(crate) async fn send(&mut self, call: &Call) -> Result<Answer, Broken> {
        let answered = match timeout(ANSWER_AT_MOST, self.exchange(call)).await {
            Ok(answered) => answered,
            Err(_) => Err(Broken::Silent),
        };
        if answered.is_err() {
            self.sender = None;
        }
        answered
    }

    async fn exchange(&mut self, call: &Call) -> Result<Answer, Broken> {
        let host = self.target.host.clone();
        let sender = self.ready().await?;
        let answer = sender.send_request(request(call, host)).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    async fn ready(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, Broken> {
        // A server may close what was idle for long.
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.sender = Some(connect(self.target.address).await?);
        }
        Ok(self
            .sender
            .as_mut()
            .expect("it was just made or found usable"))
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Broken> {
    let stream = TcpStream::connect(address).await.map_err(Broken::Connect)?;
    stream.set_nodelay(true).map_err(Broken::Connect)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender; what goes wrong is told to whoever waits for an answer.
    tokio::spawn(connection);
    Ok(sender)
}

fn request(call: &Call, host: HeaderValue) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = call.uri.clone();
    *request.headers_mut() = call.headers.clone();
    request.headers_mut().insert(HOST, host);
    request
}
