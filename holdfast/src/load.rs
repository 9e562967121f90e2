//! The load generator: buyers over HTTP/1.1, as cheap as they can be made.
//!
//! `sale` and `bench` share it. In: a running server ([`server`] starts one as a process of its
//! own, so that what it costs can be told apart from what the load costs). Out: what was answered,
//! how often and how fast ([`tally`]), and what it cost each process ([`process`]).
//!
//! A virtual client is one keep-alive connection ([`connection`]) that sends calls ([`call`]) and
//! behaves as a careful client should: a 503, a 429 or a broken connection is tried again with the
//! same `Idempotency-Key` ([`client`]). [`shop`] has the few calls that set a scene and look at it
//! afterwards, [`crowd`] lets many clients run at once, [`check`] says what must hold, and [`table`]
//! prints.
//!
//! What was refused: a comfortable client. One that pools, follows redirects and keeps timers
//! costs several times as much per request as the server's own HTTP, and on a small machine that
//! would be measured as the server's slowness.

pub(crate) mod call;
pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod crowd;
pub(crate) mod process;
pub(crate) mod server;
pub(crate) mod shop;
pub(crate) mod table;
pub(crate) mod tally;
