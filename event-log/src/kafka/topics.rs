//! What the topics have to be like. Pure: the settings that are wanted, and the one sentence that
//! says what is wrong and how to mend it.
//!
//! Kafka's defaults delete after seven days, so every setting that could lose records is verified
//! at every start, and a topic that differs is refused rather than changed: it is the operator's.

use std::collections::BTreeMap;

use record::{Layout, Topic};

use super::native::Described;
use super::settings::{KafkaSettings, Replication};

/// How long an erased key may still stand in the compacted topic: a day.
const COMPACTION_LAG_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// How long it has to be visible that a key was erased: ten years. A projector that was away for
/// longer than this would keep erased keys; Kafka's default is a day.
const TOMBSTONE_MS_MIN: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;
/// What a producer and a topic take by default.
const MESSAGE_BYTES_MAX: usize = 1_000_000;

/// A setting of a topic, what it has to be, and what is set at creation.
struct Wanted {
    name: &'static str,
    set: String,
    holds: fn(found: &str, set: &str) -> bool,
    /// What goes wrong otherwise.
    otherwise: &'static str,
}

/// A topic's settings by name.
pub(super) type Found = BTreeMap<String, String>;

fn wanted(topic: Topic, replication: Replication) -> Vec<Wanted> {
    let equal = |found: &str, set: &str| found == set;
    let at_least = |found: &str, set: &str| found.parse::<u64>().ok() >= set.parse().ok();
    let at_most = |found: &str, set: &str| {
        found
            .parse::<u64>()
            .is_ok_and(|found| Some(found) <= set.parse().ok())
    };
    let in_sync = match replication {
        Replication::Three => 2,
        Replication::SingleBroker => 1,
    };
    let setting = |name, set: &str, holds, otherwise| Wanted {
        name,
        set: set.to_owned(),
        holds,
        otherwise,
    };
    let mut wanted = vec![
        setting(
            "min.insync.replicas",
            &in_sync.to_string(),
            at_least as fn(&str, &str) -> bool,
            "an acknowledged record could be lost with one broker",
        ),
        setting(
            "unclean.leader.election.enable",
            "false",
            equal,
            "acknowledged records could be cut off",
        ),
    ];
    if topic == Topic::UserKeys {
        wanted.extend([
            setting(
                "cleanup.policy",
                "compact",
                equal,
                "keys would be deleted by age",
            ),
            setting(
                "max.compaction.lag.ms",
                &COMPACTION_LAG_MS_MAX.to_string(),
                at_most,
                "erased keys would stay readable",
            ),
            setting(
                "delete.retention.ms",
                &TOMBSTONE_MS_MIN.to_string(),
                at_least,
                "a projector that was away would keep erased keys",
            ),
        ]);
    } else {
        let deleted = "records would be deleted";
        wanted.extend([
            setting(
                "cleanup.policy",
                "delete",
                equal,
                "records would be compacted away",
            ),
            setting("retention.ms", "-1", equal, deleted),
            setting("retention.bytes", "-1", equal, deleted),
        ]);
    }
    wanted
}

/// What a topic gets when it is made.
pub(super) fn settings_at_creation(
    topic: Topic,
    replication: Replication,
) -> Vec<(&'static str, String)> {
    wanted(topic, replication)
        .into_iter()
        .map(|wanted| (wanted.name, wanted.set))
        .collect()
}

/// Checks one topic.
///
/// # Errors
/// The sentence for the operator.
pub(super) fn verify(
    topic: Topic,
    described: &Described,
    found: &Found,
    settings: &KafkaSettings,
) -> Result<(), String> {
    let name = &described.name;
    let brokers = &settings.brokers;
    if described.id == 0 {
        return Err(format!(
            "Topic {name} has no id, so that a topic made again under its name could not be told \
             from it; upgrade the brokers to Kafka 2.8 or later."
        ));
    }
    for Wanted {
        name: setting,
        set,
        holds,
        otherwise,
    } in wanted(topic, settings.replication)
    {
        let value = found.get(setting).map_or("", String::as_str);
        if !holds(value, &set) {
            return Err(format!(
                "Topic {name} has {setting}={value}, by which {otherwise}; run `kafka-configs.sh \
                 --bootstrap-server {brokers} --alter --entity-type topics --entity-name {name} \
                 --add-config {setting}={set}`."
            ));
        }
    }
    let replicas = described.replicas;
    if settings.replication == Replication::Three && replicas < 3 {
        return Err(format!(
            "Topic {name} has replication.factor={replicas}, by which a record could be lost with \
             one broker; raise it to 3 with `kafka-reassign-partitions.sh --bootstrap-server \
             {brokers}`, or say --kafka-single-broker if that is meant."
        ));
    }
    let alone = matches!(topic, Topic::Epochs | Topic::UserKeys);
    if alone && described.partitions != 1 {
        let partitions = described.partitions;
        return Err(format!(
            "Topic {name} has {partitions} partitions, but it has to have one; it was not made by \
             holdfast: set another topic prefix."
        ));
    }
    Ok(())
}

/// The counts of existing topics; all have to be there.
pub(super) fn layout(described: &BTreeMap<Topic, Described>) -> Result<Layout, String> {
    let count = |topic| {
        let partitions = described
            .get(&topic)
            .map_or(0, |described| described.partitions);
        u16::try_from(partitions).map_err(|_| format!("Topic {topic} has {partitions} partitions."))
    };
    Ok(Layout {
        users: count(Topic::Users)?,
        orders: count(Topic::Orders)?,
        inventory: count(Topic::Inventory)?,
    })
}

/// The largest message that all topics take.
pub(super) fn message_bytes_max<'a>(found: impl Iterator<Item = &'a Found>) -> usize {
    let stated = |found: &Found| found.get("max.message.bytes")?.parse::<usize>().ok();
    found
        .filter_map(stated)
        .min()
        .unwrap_or(MESSAGE_BYTES_MAX)
        .min(MESSAGE_BYTES_MAX)
}

/// Says that a topic was deleted, which is seen by what the others hold.
pub(super) fn missing(name: &str, witness: &str) -> String {
    format!(
        "Topic {name} does not exist although {witness} has records: it was deleted; restore it \
         from a backup of the whole cluster, or start with an empty log by another topic prefix."
    )
}

/// Says that there is nothing to look at.
pub(super) fn no_log(prefix: &str) -> String {
    format!(
        "There is no log here whose topics begin with {prefix}; check the topic prefix, or start a \
         server, which makes them."
    )
}

/// Says that a topic is another one than the one that was opened.
pub(super) fn replaced(name: &str) -> String {
    format!(
        "Topic {name} was deleted, or deleted and made again, while this process used it, so that \
         records are missing; restore it from a backup of the whole cluster, or start with an \
         empty log by another topic prefix."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(replicas: usize) -> Described {
        Described {
            name: "holdfast.orders".to_owned(),
            id: 7,
            partitions: 6,
            replicas,
        }
    }

    fn found(replication: Replication) -> Found {
        let settings = settings_at_creation(Topic::Orders, replication);
        settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    #[test]
    fn a_topic_as_it_is_made_passes() {
        let settings = KafkaSettings::default();
        let found = found(Replication::Three);
        assert_eq!(
            verify(Topic::Orders, &described(3), &found, &settings),
            Ok(())
        );
    }

    #[test]
    fn the_sentence_names_topic_setting_value_and_command() {
        let settings = KafkaSettings::default();
        let mut found = found(Replication::Three);
        found.insert("retention.ms".to_owned(), "604800000".to_owned());
        assert_eq!(
            verify(Topic::Orders, &described(3), &found, &settings).unwrap_err(),
            "Topic holdfast.orders has retention.ms=604800000, by which records would be deleted; \
             run `kafka-configs.sh --bootstrap-server localhost:9092 --alter --entity-type topics \
             --entity-name holdfast.orders --add-config retention.ms=-1`."
        );
    }

    #[test]
    fn every_setting_is_looked_at() {
        for topic in Topic::ALL {
            for replication in [Replication::Three, Replication::SingleBroker] {
                let good: Found = settings_at_creation(topic, replication)
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect();
                let settings = KafkaSettings {
                    replication,
                    ..KafkaSettings::default()
                };
                let described = Described {
                    partitions: 1,
                    ..described(3)
                };
                assert_eq!(verify(topic, &described, &good, &settings), Ok(()));
                for name in good.keys() {
                    let mut bad = good.clone();
                    bad.remove(name);
                    let sentence = verify(topic, &described, &bad, &settings).unwrap_err();
                    assert!(sentence.contains(name.as_str()), "{sentence}");
                }
            }
        }
    }

    #[test]
    fn one_replica_needs_the_word_of_the_operator() {
        let found = found(Replication::Three);
        let sentence = verify(
            Topic::Orders,
            &described(1),
            &found,
            &KafkaSettings::default(),
        )
        .unwrap_err();
        assert!(sentence.contains("replication.factor=1"), "{sentence}");
        assert!(sentence.contains("--kafka-single-broker"), "{sentence}");
        let single = KafkaSettings {
            replication: Replication::SingleBroker,
            ..KafkaSettings::default()
        };
        assert_eq!(
            verify(Topic::Orders, &described(1), &found, &single),
            Ok(())
        );
    }
}
