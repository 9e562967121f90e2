//! The log in Kafka topics, over a real broker.

use std::sync::Arc;

use event_log::conformance::{self, append, entry, read};
use event_log::kafka::{KafkaLog, KafkaSettings, Replication};
use event_log::{EventLog, LogError};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use record::{Layout, Partition, Position, Topic};

const ORDERS: Partition = Partition {
    topic: Topic::Orders,
    number: 0,
};
const START: Position = Position {
    partition: ORDERS,
    offset: 0,
};

/// A log with topics of its own, which are deleted at the end.
struct Fixture {
    settings: KafkaSettings,
    log: Arc<KafkaLog>,
}

impl Fixture {
    fn log(&self) -> Arc<dyn EventLog> {
        Arc::clone(&self.log) as Arc<dyn EventLog>
    }

    async fn close(self) {
        delete(&self.settings, &Topic::ALL).await;
    }
}

fn settings() -> KafkaSettings {
    let brokers = std::env::var("HOLDFAST_TEST_KAFKA").expect(
        "HOLDFAST_TEST_KAFKA names the broker for tests; `cargo xtask test` starts one and sets it",
    );
    KafkaSettings {
        brokers,
        topic_prefix: format!("test-{}.", uuid::Uuid::new_v4()),
        layout_at_creation: Layout {
            users: 1,
            orders: 2,
            inventory: 1,
        },
        replication: Replication::SingleBroker,
        ..KafkaSettings::default()
    }
}

async fn open() -> Fixture {
    open_with(settings()).await
}

async fn open_with(settings: KafkaSettings) -> Fixture {
    let log = KafkaLog::open(settings.clone())
        .await
        .expect("the log opens");
    let log = Arc::new(log);
    Fixture { settings, log }
}

fn admin(settings: &KafkaSettings) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &settings.brokers);
    config.create().expect("an admin client")
}

async fn delete(settings: &KafkaSettings, topics: &[Topic]) {
    let names: Vec<String> = topics
        .iter()
        .map(|topic| settings.topic_name(*topic))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let options = AdminOptions::new().operation_timeout(Some(std::time::Duration::from_secs(10)));
    admin(settings)
        .delete_topics(&names, &options)
        .await
        .expect("the topics are deleted");
}

async fn set(settings: &KafkaSettings, topic: Topic, name: &str, value: &str) {
    let topic = settings.topic_name(topic);
    let alter = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set(name, value);
    let altered = admin(settings)
        .alter_configs([&alter], &AdminOptions::new())
        .await;
    altered
        .expect("an answer")
        .remove(0)
        .expect("the setting is changed");
}

async fn sentence(settings: &KafkaSettings) -> String {
    match KafkaLog::open(settings.clone()).await {
        Err(LogError::Misconfigured(sentence)) => sentence,
        other => panic!("it should not start: {other:?}"),
    }
}

conforms!(open);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_a_reopening() {
    let Fixture { settings, log } = open().await;
    conformance::acknowledged_records_survive_a_reopening(log, async |_| {
        let log = KafkaLog::open(settings.clone())
            .await
            .expect("it opens again");
        Arc::new(log) as Arc<dyn EventLog>
    })
    .await;
    delete(&settings, &Topic::ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn existing_topics_keep_their_counts() {
    let fixture = open().await;
    let other = KafkaSettings {
        layout_at_creation: Layout::uniform(5),
        ..fixture.settings.clone()
    };
    let again = KafkaLog::open(other).await.expect("it opens");
    assert_eq!(again.layout(), fixture.settings.layout_at_creation);
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retention_that_deletes_stops_the_start_and_fails_the_probe() {
    let fixture = open().await;
    set(
        &fixture.settings,
        Topic::Orders,
        "retention.ms",
        "604800000",
    )
    .await;
    let name = fixture.settings.topic_name(Topic::Orders);
    let sentence = sentence(&fixture.settings).await;
    assert!(
        sentence.starts_with(&format!(
            "Topic {name} has retention.ms=604800000, by which records would be deleted; run"
        )),
        "{sentence}"
    );
    assert_eq!(fixture.log.probe().await.unwrap_err().to_string(), sentence);
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_broker_has_to_be_meant() {
    let fixture = open().await;
    let three = KafkaSettings {
        replication: Replication::Three,
        ..fixture.settings.clone()
    };
    let text = sentence(&three).await;
    assert!(text.contains("min.insync.replicas=1"), "{text}");
    let fresh = KafkaSettings {
        replication: Replication::Three,
        ..settings()
    };
    let text = sentence(&fresh).await;
    assert!(text.contains("--kafka-single-broker"), "{text}");
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_is_not_made_again() {
    let fixture = open().await;
    append(&*fixture.log, vec![entry(Partition::EPOCHS, "claim", "{}")]).await;
    delete(&fixture.settings, &[Topic::Orders]).await;
    let text = sentence(&fixture.settings).await;
    let name = fixture.settings.topic_name(Topic::Orders);
    assert!(
        text.starts_with(&format!("Topic {name} does not exist although")),
        "{text}"
    );
    delete(
        &fixture.settings,
        &[
            Topic::Users,
            Topic::Inventory,
            Topic::Epochs,
            Topic::UserKeys,
        ],
    )
    .await;
}

/// A topic of the same name and count is another log: nothing that was read or appended counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_made_again_ends_everything() {
    let fixture = open().await;
    append(
        &*fixture.log,
        (0..5).map(|_| entry(ORDERS, "k", "old")).collect(),
    )
    .await;
    let mut tail = fixture.log.tail(vec![START]).await.unwrap();
    read(&mut tail, 5).await;
    delete(&fixture.settings, &[Topic::Orders]).await;
    let name = fixture.settings.topic_name(Topic::Orders);
    let mut new = NewTopic::new(&name, 2, TopicReplication::Fixed(1));
    new = new.set("retention.ms", "-1").set("retention.bytes", "-1");
    admin(&fixture.settings)
        .create_topics([&new], &AdminOptions::new())
        .await
        .unwrap();

    let error = fixture.log.probe().await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("Topic {name} was deleted")),
        "{error}"
    );
    // Some records of the new topic may come before the tail has noticed; then it ends for good.
    let ended = loop {
        if let Err(error) = tail.next().await {
            break error;
        }
    };
    assert!(
        matches!(
            ended,
            LogError::Misconfigured(_) | LogError::Shortened { .. }
        ),
        "{ended:?}"
    );
    let error = fixture
        .log
        .append_one(entry(ORDERS, "k", "new"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&name), "{error}");
    let again = fixture.log.probe().await.unwrap_err().to_string();
    assert!(
        again.contains(&name),
        "it never recovers by itself: {again}"
    );
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_count_fails_the_probe() {
    let fixture = open().await;
    let name = fixture.settings.topic_name(Topic::Orders);
    let more = NewPartitions::new(&name, 3);
    let made = admin(&fixture.settings)
        .create_partitions([&more], &AdminOptions::new())
        .await;
    made.unwrap().remove(0).unwrap();
    let error = loop {
        // The broker shows the new count a moment after it was made.
        if let Err(error) = fixture.log.probe().await {
            break error.to_string();
        }
    };
    assert!(
        error.starts_with(&format!("Topic {name} has 3 partitions, but had 2")),
        "{error}"
    );
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_records_are_shortened_and_not_skipped() {
    let fixture = open().await;
    append(
        &*fixture.log,
        (0..10).map(|i| entry(ORDERS, "k", i.to_string())).collect(),
    )
    .await;
    let mut list = TopicPartitionList::new();
    let name = fixture.settings.topic_name(Topic::Orders);
    list.add_partition_offset(&name, 0, Offset::Offset(6))
        .unwrap();
    let deleted = admin(&fixture.settings)
        .delete_records(&list, &AdminOptions::new())
        .await;
    deleted.expect("the records are deleted");
    let before = Position { offset: 5, ..START };
    for error in [
        fixture.log.tail(vec![before]).await.unwrap_err(),
        fixture.log.read_at(before).await.unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                LogError::Shortened {
                    wanted: 5,
                    start: 6,
                    end: 10,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    let mut tail = fixture
        .log
        .tail(vec![Position { offset: 6, ..START }])
        .await
        .unwrap();
    assert_eq!(read(&mut tail, 4).await[0].1.payload, "6");
    fixture.close().await;
}

#[test]
fn brokers_that_do_not_answer_are_unavailable() {
    let nobody = KafkaSettings {
        brokers: "127.0.0.1:1".to_owned(),
        ..KafkaSettings::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(KafkaLog::open(nobody)).unwrap_err();
    assert!(matches!(error, LogError::Unavailable(_)), "{error:?}");
}
