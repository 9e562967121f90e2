//! A server that does nothing but check a token and say hello: what HTTP alone costs. Started as a
//! process of its own by the benchmark.

use std::path::Path;

use anyhow::{Context, Result};
use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use contract::token::Audience;
use contract::{Actor, TokenSigner, TokenVerifier};
use tokio::net::TcpListener;

/// Where it says hello.
pub(super) const HELLO: &str = "/hello";

/// Serves until it is killed.
///
/// # Errors
/// When the key cannot be read or the port cannot be used.
pub(super) async fn serve(key_file: &Path) -> Result<()> {
    let pem = std::fs::read_to_string(key_file).context("the key cannot be read")?;
    let signer = TokenSigner::from_pem(&pem, Audience::default())?;
    let keys = vec![signer.public_key().clone()];
    let router = Router::new()
        .route(HELLO, get(hello))
        .route("/readyz", get(|| async { "ready" }))
        .with_state(TokenVerifier::with_keys(&Audience::default(), keys));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!(
        "Holdfast is listening on http://{} (bare HTTP)",
        listener.local_addr()?
    );
    let listener = listener.tap_io(|connection| {
        // As the real servers do; a connection that is gone already is none of ours.
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    Ok(())
}

async fn hello(_actor: Actor) -> &'static str {
    "hello"
}
