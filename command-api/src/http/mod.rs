//! The write side over HTTP: every call of the contract that changes something.
//!
//! A request comes in with its actor, path, key and body already read by `contract`'s extractors;
//! a handler turns them into one of the [`Commands`] and its outcome into an answer. What must
//! stay true: who may call what stands in a handler's signature; no rule is decided here; a 2xx
//! carries where its record stands ([`written`]); what did not succeed is a problem document
//! ([`declined`]).
//!
//! [`routes`] is the table of contents. [`asked`] and [`client_address`] say who asks,
//! [`attempts`] limits how often somebody may guess a password.

use std::sync::Arc;

use axum::extract::FromRef;
use axum::routing::put;
use contract::layers::IMPORT_ROUTE;
use contract::token::{TokenSigner, TokenVerifier};
use contract::{ConsistencyTokens, Fingerprints};
use record::Position;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::Commands;

mod asked;
mod attempts;
mod client_address;
mod declined;
pub mod import;
mod inventory;
mod orders;
mod sessions;
mod users;
mod written;

pub use attempts::LogInLimits;
pub use client_address::Network;

/// What the HTTP side of a command node can be told.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How often somebody may guess a password.
    pub log_in_limits: LogInLimits,
}

/// What the handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    commands: Commands,
    signer: TokenSigner,
    verifier: TokenVerifier,
    fingerprints: Fingerprints,
    attempts: attempts::LogInAttempts,
    trusted_proxies: Vec<Network>,
}

impl Api {
    /// An API over the commands of this node. The verifier must know the signer's public key.
    pub fn new(
        commands: Commands,
        signer: TokenSigner,
        verifier: TokenVerifier,
        settings: HttpSettings,
    ) -> Self {
        let fingerprints = Fingerprints::new(commands.secrets().fingerprint_key().clone());
        let clock = commands.committer().clock();
        Self(Arc::new(Shared {
            commands,
            signer,
            verifier,
            fingerprints,
            attempts: attempts::LogInAttempts::new(settings.log_in_limits, clock),
            trusted_proxies: settings.trusted_proxies,
        }))
    }

    /// The token by which a read waits for the records at these positions. There is none before
    /// the log has its first claim, and so before anything was written.
    fn consistency_token(&self, positions: impl IntoIterator<Item = Position>) -> Option<String> {
        let log_id = self
            .0
            .commands
            .committer()
            .keeper()
            .history()
            .borrow()
            .log_id()?;
        let key = self.0.commands.secrets().opaque_token_key().clone();
        Some(ConsistencyTokens::new(key, log_id).issue(positions))
    }
}

impl FromRef<Api> for TokenVerifier {
    fn from_ref(api: &Api) -> Self {
        api.0.verifier.clone()
    }
}

/// Every write. The routes that both APIs have ([`contract::session`], [`contract::operations`])
/// and the layers around all of them ([`contract::layers`]) are the program's to add: it may
/// serve query-api on the same port.
pub fn routes(api: Api) -> OpenApiRouter {
    // An item may have the name of the import's route.
    let item_named_import = put(inventory::put_item).delete(inventory::discontinue_item);
    let mut router = OpenApiRouter::new()
        // Users and their sessions.
        .routes(routes!(users::register_user))
        .routes(routes!(users::rename_user))
        .routes(routes!(users::change_password))
        .routes(routes!(users::set_role))
        .routes(routes!(sessions::log_in))
        .routes(routes!(sessions::refresh_session))
        .routes(routes!(sessions::log_out))
        // The catalogue and its stock.
        .routes(routes!(inventory::put_item, inventory::discontinue_item))
        .routes(routes!(inventory::move_stock))
        .routes(routes!(inventory::set_stock))
        .routes(routes!(import::import_items))
        .route(IMPORT_ROUTE, item_named_import)
        // Orders.
        .routes(routes!(orders::place_order))
        .routes(routes!(orders::cancel_order));
    written::document_headers(router.get_openapi_mut());
    router.with_state(api)
}
