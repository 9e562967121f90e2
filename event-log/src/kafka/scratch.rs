//! Topics of a run that must not touch a shop's log: a benchmark, say.
//!
//! The log keeps everything for ever, and nothing here can delete a shop's topics: only those
//! under [`SCRATCH_PREFIX`], which no shop uses.

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;
use record::Topic;

use super::context::Context;
use super::settings::{self, KafkaSettings};
use crate::LogError;

/// Stands before the names of topics that may be deleted.
pub const SCRATCH_PREFIX: &str = "holdfast-scratch-";

/// Deletes the topics of a run.
///
/// # Errors
/// When the prefix is not one of a run's, or the brokers do not answer or refuse.
pub async fn delete_scratch(settings: KafkaSettings) -> Result<(), LogError> {
    let prefix = &settings.topic_prefix;
    if !prefix.starts_with(SCRATCH_PREFIX) {
        return Err(LogError::Misconfigured(format!(
            "topics that begin with {prefix} are a shop's log and are never deleted"
        )));
    }
    crate::blocking(move || delete(&settings)).await
}

fn delete(settings: &KafkaSettings) -> Result<(), LogError> {
    let admin = AdminClient::from_config_and_context(&settings.admin(), Context)
        .map_err(settings::refused)?;
    let names = Topic::ALL.map(|topic| settings.topic_name(topic));
    let names = names.each_ref().map(String::as_str);
    let deleted = block_on(admin.delete_topics(&names, &AdminOptions::new()))
        .map_err(|error| LogError::Unavailable(error.to_string()))?;
    let refused = deleted.into_iter().filter_map(Result::err);
    match refused
        .into_iter()
        .find(|(_, code)| *code != RDKafkaErrorCode::UnknownTopicOrPartition)
    {
        Some((name, code)) => Err(LogError::Unavailable(format!(
            "topic {name} is not deleted: {code}"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shops_topics_are_never_deleted() {
        let refused = delete_scratch(KafkaSettings::default()).await;
        assert!(
            matches!(refused, Err(LogError::Misconfigured(_))),
            "{refused:?}"
        );
    }
}
