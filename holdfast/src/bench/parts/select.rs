//! A bare point select: an order's row by its primary key, out of the same store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use migrations::Value;

use crate::bench::figures::Figure;
use crate::bench::stage::Stage;
use crate::load::process::Meter;
use crate::load::tally::Placed;

/// As many at once as the phase that reads orders has connections.
const AT_ONCE: usize = 50;
/// Orders that are selected, again and again.
const ORDERS: usize = 10_000;
const BY_ID: &str = "SELECT id, user_id, status, total, currency, placed_at, version, lines_json, \
     history_json FROM orders WHERE id = ?";

/// Selects orders for so long.
///
/// # Errors
/// When the store does not answer, or has no such order.
pub(super) async fn alone(stage: &Stage, duration: Duration, placed: &[Placed]) -> Result<Figure> {
    let database = stage.read_models()?;
    let orders: Arc<Vec<_>> = Arc::new(placed.iter().take(ORDERS).map(|p| p.order).collect());
    let selected = Arc::new(AtomicU64::new(0));
    let meter = Meter::start(&stage.watched);
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for first in 0..AT_ONCE {
        let (database, orders) = (database.clone(), Arc::clone(&orders));
        let selected = Arc::clone(&selected);
        tasks.spawn(async move {
            for order in orders.iter().cycle().skip(first) {
                if began.elapsed() > duration {
                    break;
                }
                let rows = database
                    .select(BY_ID, &[Value::Bytes(order.0.as_bytes())])
                    .await?;
                ensure!(rows.len() == 1, "order {order} has no row");
                selected.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task that selects panicked")??;
    }
    let count = selected.load(Ordering::Relaxed);
    let figure = Figure::new(
        "point select of an order, 50 at once",
        count,
        began.elapsed(),
    );
    Ok(figure.costing(&meter.read()))
}
