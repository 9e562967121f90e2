//! Password hashing: argon2id, off the async threads, bounded by the machine and not by clients.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use domain::text::Password;
use tokio::sync::Semaphore;

use crate::work::Work;

/// Hashes and verifies passwords. What is under way is bounded, whether or not the client still
/// waits (report R48): the permit belongs to the work, not to the request.
#[derive(Debug, Clone)]
pub struct Passwords {
    at_once: Arc<Semaphore>,
    queued: Arc<Semaphore>,
    argon2: Argon2<'static>,
    work: Work,
}

/// Too many passwords are being checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many log-ins are under way")]
pub struct Overloaded;

impl Passwords {
    /// At most `at_once` hashes run together, and `queued` wait.
    pub fn new(at_once: usize, queued: usize) -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(at_once)),
            queued: Arc::new(Semaphore::new(at_once + queued)),
            argon2: Argon2::default(),
            work: Work::default(),
        }
    }

    /// Hashes that cost next to nothing and so protect nothing, made at once. For simulations.
    ///
    /// # Panics
    /// In a release build.
    pub fn that_protect_nothing() -> Self {
        if !cfg!(debug_assertions) {
            panic!("passwords must be protected");
        }
        let (memory, passes, lanes) = (Params::MIN_M_COST, Params::MIN_T_COST, 1);
        let params = Params::new(memory, passes, lanes, None).expect("they are the least allowed");
        Self {
            argon2: Argon2::new(Algorithm::default(), Version::default(), params),
            work: Work::AtOnce,
            ..Self::new(1_024, 0)
        }
    }

    /// The hash of a password, with a salt of its own, as a PHC string.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn hash(&self, password: Password) -> Result<String, Overloaded> {
        let argon2 = self.argon2.clone();
        self.run(move || {
            argon2
                .hash_password(password.as_str().as_bytes())
                .map(|hash| hash.to_string())
                .unwrap_or_default()
        })
        .await
    }

    /// Whether the password has this hash. A hash of nobody costs the same time.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn verify(
        &self,
        password: Password,
        hash: Option<String>,
    ) -> Result<bool, Overloaded> {
        let argon2 = self.argon2.clone();
        self.run(move || match hash.as_deref().map(PasswordHash::new) {
            Some(Ok(hash)) => argon2
                .verify_password(password.as_str().as_bytes(), &hash)
                .is_ok(),
            _ => {
                let _ = argon2.hash_password(password.as_str().as_bytes());
                false
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let place = Arc::clone(&self.queued)
            .try_acquire_owned()
            .map_err(|_| Overloaded)?;
        let (at_once, on) = (Arc::clone(&self.at_once), self.work);
        let task = tokio::spawn(async move {
            let permit = at_once.acquire_owned().await;
            let result = on.run(work).await;
            drop((permit, place));
            result
        });
        match task.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) | Err(_) => Err(Overloaded),
        }
    }
}
