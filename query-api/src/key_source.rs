//! The public keys of access tokens, fetched from the role that signs them (`--jwks-url`).
//!
//! They are fetched at the start, from time to time, and when a token names a key that is not
//! known; never more often than every two seconds, whatever key ids are made up, and a source
//! that does not answer leaves the known keys in place (report R27).

use std::time::Duration;

use contract::TokenVerifier;
use contract::token::{KeyError, KeySet};
use reqwest::{Client, Url};
use tokio::time::Instant;

/// The shortest time between two fetches.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// How often the keys are fetched when nobody asks for a new one.
const REFRESH: Duration = Duration::from_secs(300);
/// The longest time for one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// A key set has some hundred bytes.
const KEY_SET_BYTES_MAX: usize = 64 * 1024;

/// Keeps a verifier's keys as its source has them.
#[derive(Debug)]
pub struct KeySource {
    url: Url,
    client: Client,
    verifier: TokenVerifier,
}

/// Why there is no key source, in one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// The address cannot be asked.
    #[error("the URL of the key set must be http://host:port/path; TLS ends at a proxy")]
    Url,
    /// No connection can be made at all.
    #[error("an HTTP client for the key set cannot be made")]
    Client(#[source] reqwest::Error),
}

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the key set's source does not answer: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the key set is too long")]
    TooLong,
    #[error("the key set cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl KeySource {
    /// Keys for a verifier that was made for fetched ones.
    ///
    /// # Errors
    /// When the URL is not plain HTTP.
    pub fn new(url: &str, verifier: TokenVerifier) -> Result<Self, KeySourceError> {
        let url = Url::parse(url).map_err(|_| KeySourceError::Url)?;
        if url.scheme() != "http" || !url.has_host() {
            return Err(KeySourceError::Url);
        }
        let client = Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(KeySourceError::Client)?;
        Ok(Self {
            url,
            client,
            verifier,
        })
    }

    /// Fetches for as long as it is polled. Safe to drop.
    pub async fn keep(self) {
        loop {
            let fetched_at = Instant::now();
            match self.fetch().await {
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "the keys of access tokens were not fetched"),
            }
            tokio::time::sleep_until(fetched_at + PAUSE_MIN).await;
            if self.verifier.has_keys() {
                // Either is a reason; that the time is over is no error.
                let _ = tokio::time::timeout(REFRESH, self.verifier.unknown_key()).await;
            }
        }
    }

    async fn fetch(&self) -> Result<(), FetchError> {
        let mut answer = self
            .client
            .get(self.url.clone())
            .send()
            .await?
            .error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            bytes.extend(&chunk);
            if bytes.len() > KEY_SET_BYTES_MAX {
                return Err(FetchError::TooLong);
            }
        }
        let set: KeySet = serde_json::from_slice(&bytes)?;
        self.verifier.set_key_set(&set)?;
        Ok(())
    }
}
