//! The HTTP server of every role: one port, time limits for silent clients, an orderly end.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum_server::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::settings::HttpArgs;

/// Takes the port at once, so that a second server fails before it does anything.
///
/// # Errors
/// One sentence that says what to do when the port is taken.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener> {
    match TcpListener::bind(address) {
        Ok(listener) => {
            listener
                .set_nonblocking(true)
                .context("the port cannot be used")?;
            Ok(listener)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "{address} is taken by another process; stop it, or choose another address with --listen"
            )
        }
        Err(error) => bail!("it is not possible to listen on {address}: {error}"),
    }
}

/// Serves until a signal comes, then lets requests finish within the deadline.
///
/// # Errors
/// When the server cannot run.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &HttpArgs,
    stopping: CancellationToken,
) -> Result<()> {
    let handle = Handle::new();
    let head_timeout = settings.head_timeout();
    let mut server = axum_server::from_tcp(listener)?
        .handle(handle.clone())
        .first_request_timeout(head_timeout);
    server
        .http_builder()
        .http1()
        .header_read_timeout(head_timeout);
    let deadline = settings.shutdown();
    tokio::spawn(end_in_order(handle, stopping, deadline));
    server
        .serve(router.into_make_service_with_connect_info::<SocketAddr>())
        .await?;
    Ok(())
}

async fn end_in_order(handle: Handle<SocketAddr>, stopping: CancellationToken, deadline: Duration) {
    stopping.cancelled().await;
    handle.graceful_shutdown(Some(deadline));
}

/// Cancels the token at the first SIGTERM or Ctrl-C; ends the process at the second.
///
/// # Errors
/// When signals cannot be heard.
pub(crate) fn stop_on_signals(stopping: CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        tracing::info!("stopping; what is under way is finished first");
        stopping.cancel();
        next().await;
        tracing::warn!("stopped at once by a second signal");
        std::process::exit(130);
    });
    Ok(())
}
