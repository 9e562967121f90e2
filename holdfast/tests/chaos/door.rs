//! A door: a TCP proxy before a service, by which a test cuts, holds and delays what passes, swallows
//! and forges replies, and leads to another service.
//!
//! What must stay true: bytes of one connection are never reordered, and one whose bytes were
//! swallowed is closed before anything else passes it, as a broken network does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a door does with what wants to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// Everything passes at once.
    Open,
    /// Connections are closed, new ones at once.
    Closed,
    /// Nothing passes; connections stay, and what waits passes later.
    Held,
    /// Requests pass, and their replies are lost.
    RepliesLost,
    /// Everything passes this much later.
    Slow(Duration),
    /// Everything passes, and Kafka's replies to appends say that they were out of order.
    OutOfSequence,
}

#[derive(Debug, Clone, Copy)]
struct State {
    passing: Passing,
    /// The port behind the door.
    leads_to: u16,
    /// Connections of an earlier number are over.
    opened: u64,
}

/// How much of a request is kept, to tell what it was.
const HEAD: usize = 64;

/// The last request of a connection, by its first bytes.
type Asked = Arc<Mutex<Vec<u8>>>;
/// The requests whose replies were swallowed.
type Swallowed = Arc<Mutex<Vec<Vec<u8>>>>;

/// A door that listens. Dropped, it and its connections are closed.
#[derive(Debug)]
pub(crate) struct Door {
    port: u16,
    state: watch::Sender<State>,
    swallowed: Swallowed,
    listening: JoinHandle<()>,
}

impl Door {
    /// A door on a free port that leads to this one.
    pub(crate) async fn to(leads_to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = watch::Sender::new(State {
            passing: Passing::Open,
            leads_to,
            opened: 0,
        });
        let swallowed = Swallowed::default();
        let listening = listen(listener, state.subscribe(), Arc::clone(&swallowed));
        let listening = tokio::spawn(listening);
        Self {
            port,
            state,
            swallowed,
            listening,
        }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Lets pass what is said from now on.
    pub(crate) fn set(&self, passing: Passing) {
        self.state.send_modify(|state| {
            let broken = [Passing::Closed, Passing::RepliesLost];
            if passing == Passing::Closed || broken.contains(&state.passing) {
                state.opened += 1;
            }
            state.passing = passing;
        });
    }

    /// Leads to another port; the connections that there are end.
    pub(crate) fn lead_to(&self, port: u16) {
        self.state.send_modify(|state| {
            state.leads_to = port;
            state.opened += 1;
        });
    }

    /// How many replies it has swallowed so far to requests that begin like this.
    pub(crate) fn swallowed(&self, like: impl Fn(&[u8]) -> bool) -> usize {
        let swallowed = self.swallowed.lock().unwrap();
        swallowed.iter().filter(|asked| like(asked)).count()
    }

    /// Closes every connection; new ones pass.
    pub(crate) fn slam(&self) {
        self.state.send_modify(|state| state.opened += 1);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, state: watch::Receiver<State>, swallowed: Swallowed) {
    while let Ok((client, _)) = listener.accept().await {
        let seen = *state.borrow();
        if seen.passing != Passing::Closed {
            tokio::spawn(lead(client, seen, state.clone(), Arc::clone(&swallowed)));
        }
    }
}

/// One connection, until one side closes it or the door is slammed.
async fn lead(
    client: TcpStream,
    seen: State,
    mut state: watch::Receiver<State>,
    swallowed: Swallowed,
) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", seen.leads_to)).await else {
        return;
    };
    // A small call must not wait for the acknowledgement of the one before.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let asked = Asked::default();
    let there = Direction::There(&asked);
    let requests = pass(from_client, to_server, there, state.clone());
    let back = Direction::Back(&asked, &swallowed);
    let replies = pass(from_server, to_client, back, state.clone());
    tokio::select! {
        () = requests => {}
        () = replies => {}
        _ = state.wait_for(|now| now.opened > seen.opened) => {}
    }
}

#[derive(Clone, Copy)]
enum Direction<'a> {
    There(&'a Asked),
    Back(&'a Asked, &'a Swallowed),
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction<'_>,
    mut state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let not_held = state.wait_for(|now| now.passing != Passing::Held).await;
        let Ok(passing) = not_held.map(|now| now.passing) else {
            return;
        };
        match (direction, passing) {
            (Direction::Back(asked, swallowed), Passing::RepliesLost) => {
                let asked = asked.lock().unwrap().clone();
                swallowed.lock().unwrap().push(asked);
                continue;
            }
            (Direction::There(asked), _) => {
                *asked.lock().unwrap() = buffer[..length.min(HEAD)].to_vec();
            }
            (Direction::Back(asked, _), Passing::OutOfSequence) => {
                crate::broker::out_of_sequence(&asked.lock().unwrap(), &mut buffer[..length]);
            }
            (Direction::Back(..), _) => {}
        }
        if let Passing::Slow(by) = passing {
            tokio::time::sleep(by).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
