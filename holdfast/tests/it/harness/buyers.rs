//! Many who want the same: each goes on, with its own key, until it knows.

use futures::future::join_all;
use tokio::task::JoinHandle;

use super::{Client, System, fresh_key};

/// Accounts that buyers share, for a password takes a core some time by design.
const ACCOUNTS: usize = 10;

/// Some new customers.
pub(crate) async fn customers(system: &System) -> Vec<Client> {
    join_all((0..ACCOUNTS).map(|_| system.customer())).await
}

/// The buyers of one SKU, under way.
pub(crate) struct Buying(Vec<JoinHandle<Option<String>>>);

/// This many orders of one unit at once.
pub(crate) fn buy(customers: &[Client], buyers: usize, sku: &str) -> Buying {
    let orders = customers.iter().cycle().take(buyers).map(|customer| {
        let (customer, sku) = (customer.clone(), sku.to_owned());
        tokio::spawn(async move {
            let answer = customer.order_until_known(&fresh_key(), &sku, 1).await;
            if answer.status == 201 {
                return Some(answer.id());
            }
            answer.problem(409, "out-of-stock");
            None
        })
    });
    Buying(orders.collect())
}

impl Buying {
    /// Waits until everybody knows; gives the ids of the orders that were placed, in order.
    pub(crate) async fn placed(self) -> Vec<String> {
        let orders = join_all(self.0).await;
        let mut placed: Vec<_> = orders.into_iter().filter_map(Result::unwrap).collect();
        placed.sort_unstable();
        placed.dedup();
        placed
    }
}
