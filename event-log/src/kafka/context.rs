//! Where librdkafka's own log lines go.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

/// Forwards log lines to `tracing`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, _: &str, message: &str) {
        log(level as i32, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        error_event(&error, reason);
    }
}

impl ConsumerContext for Context {}

/// `level` is a syslog level.
pub(super) fn log(level: i32, message: &str) {
    match level {
        0..=3 => tracing::error!(target: "librdkafka", "{message}"),
        4 => tracing::warn!(target: "librdkafka", "{message}"),
        5 | 6 => tracing::info!(target: "librdkafka", "{message}"),
        _ => tracing::debug!(target: "librdkafka", "{message}"),
    }
}

/// librdkafka mends these by itself and logs the cause as a line of its own; what it cannot mend
/// comes back as the failure of an append or of a tail.
pub(super) fn error_event(error: &KafkaError, reason: &str) {
    tracing::debug!(target: "librdkafka", %error, "{reason}");
}
