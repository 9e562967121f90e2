//! Logs and metrics of the process.

use std::io::IsTerminal;
use std::sync::Arc;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Upper bounds of latency histograms, in seconds.
const LATENCY_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What is logged by default: everything of note, but not a line per request, which costs as much
/// as answering one. `HOLDFAST_LOG=info` adds those.
const DEFAULT_FILTER: &str = "info,holdfast::access=off,librdkafka=warn,sqlx=warn";

/// Sends logs to stderr: readable on a terminal, JSON elsewhere. `HOLDFAST_LOG` filters them.
pub(crate) fn log_to_stderr() {
    let filter = std::env::var("HOLDFAST_LOG").ok();
    let filter = filter.and_then(|filter| EnvFilter::try_new(filter).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A second initialisation (in a test) keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        registry.with(layer.with_target(false)).try_init()
    } else {
        registry.with(layer.json()).try_init()
    };
}

/// Begins to collect metrics; the function renders them for Prometheus.
///
/// # Errors
/// When the process collects metrics already.
pub(crate) fn collect_metrics() -> anyhow::Result<Arc<dyn Fn() -> String + Send + Sync>> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let handle: PrometheusHandle = PrometheusBuilder::new()
        .set_buckets_for_metric(seconds, LATENCY_BUCKETS)?
        .install_recorder()?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut every = tokio::time::interval(std::time::Duration::from_secs(5));
        loop {
            every.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(Arc::new(move || handle.render()))
}
