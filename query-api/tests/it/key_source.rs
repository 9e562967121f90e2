use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::get;
use axum::{Json, Router};
use contract::token::{Audience, Jwk, KeySet, TokenRefusal, now};
use contract::{TokenSigner, TokenVerifier};
use domain::ids::{SessionId, UserId};
use domain::user::Role;
use futures::FutureExt;
use query_api::KeySource;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

fn signer() -> TokenSigner {
    TokenSigner::from_pem(&TokenSigner::generate_pem(), Audience::default()).unwrap()
}

fn token(signer: &TokenSigner) -> String {
    signer.sign(
        UserId(Uuid::nil()),
        Role::Customer,
        SessionId(Uuid::nil()),
        now(),
    )
}

/// A role that signs tokens, as far as its key set goes.
struct Source {
    url: String,
    fetches: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Source {
    async fn start(signer: &TokenSigner) -> Self {
        let fetches = Arc::new(AtomicUsize::new(0));
        let (counted, key) = (fetches.clone(), Jwk::from(signer.public_key()));
        let answer = async move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Json(KeySet { keys: vec![key] })
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/.well-known/jwks.json",
            listener.local_addr().unwrap()
        );
        let router = Router::new().route("/.well-known/jwks.json", get(answer));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            fetches,
            server,
        }
    }
}

/// A verifier whose keys are kept until its task is aborted.
fn keep(url: &str) -> (TokenVerifier, JoinHandle<()>) {
    let verifier = TokenVerifier::with_fetched_keys(&Audience::default());
    let source = KeySource::new(url, verifier.clone()).unwrap();
    (verifier, tokio::spawn(source.keep()))
}

async fn until_ready(verifier: &TokenVerifier) {
    while !verifier.has_keys() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn made_up_key_ids_fetch_at_most_twice_and_good_tokens_are_quick_meanwhile() {
    let signer = signer();
    let source = Source::start(&signer).await;
    let (verifier, kept) = keep(&source.url);
    until_ready(&verifier).await;
    let (mut asking, begun) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..300 {
        let (verifier, forged) = (verifier.clone(), token(&self::signer()));
        let begun = Arc::clone(&begun);
        asking.spawn(async move {
            begun.fetch_add(1, Ordering::Relaxed);
            verifier.verify_waiting(&forged).await
        });
    }
    // There is one thread: who has begun waits.
    while begun.load(Ordering::Relaxed) < 300 {
        tokio::task::yield_now().await;
    }
    let good = token(&signer);
    let verified = verifier.verify_waiting(&good).now_or_never();
    assert!(matches!(verified, Some(Ok(_))), "{verified:?}");
    while let Some(refused) = asking.join_next().await {
        assert_eq!(refused.unwrap(), Err(TokenRefusal::UnknownKey));
    }
    assert!(source.fetches.load(Ordering::Relaxed) <= 2);
    kept.abort();
}

#[tokio::test]
async fn known_keys_stay_while_the_source_is_down() {
    let signer = signer();
    let source = Source::start(&signer).await;
    let (verifier, kept) = keep(&source.url);
    until_ready(&verifier).await;
    source.server.abort();
    let _ = source.server.await;
    let unknown = verifier.verify_waiting(&token(&self::signer())).await;
    assert_eq!(unknown, Err(TokenRefusal::UnknownKey));
    assert!(verifier.verify_waiting(&token(&signer)).await.is_ok());
    kept.abort();
}

#[test]
fn only_a_plain_http_address_is_taken() {
    let verifier = || TokenVerifier::with_fetched_keys(&Audience::default());
    for bad in ["", "nonsense", "https://a.example/keys", "file:///keys"] {
        assert!(KeySource::new(bad, verifier()).is_err(), "{bad}");
    }
}
