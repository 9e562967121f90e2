//! The routes of the read side. `GET` routes answer `HEAD` too.

use axum::routing::get;
use contract::layers::IMPORT_ROUTE;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;

mod inventory;
mod list;
mod orders;
mod users;

/// Every route, in the order of the contract's page.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        // Users
        .routes(routes!(users::list_users))
        .routes(routes!(users::get_me))
        // Inventory
        .routes(routes!(inventory::list_items))
        .routes(routes!(inventory::get_item))
        // An item may have the name of the import's route.
        .route(IMPORT_ROUTE, get(inventory::get_item))
        .routes(routes!(inventory::list_movements))
        // Orders
        .routes(routes!(orders::list_orders))
        .routes(routes!(orders::get_order))
        .routes(routes!(orders::list_order_events))
}
