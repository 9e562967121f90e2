//! What rdkafka's safe interface does not offer: whole batches from a consumer's queue, topic ids,
//! and log lines of clients that are not polled. The only unsafe code of the crate.
//!
//! Traps: the safe interface forgets the partition of a consumer's error, and takes an allocation
//! or two more per record. A batch call with a time-out waits until the batch is *full*, so one
//! record is asked for with the time-out, and then the rest without.
#![expect(unsafe_code, reason = "librdkafka is a C library")]

use std::ffi::{CStr, CString, c_char};
use std::ptr::{self, NonNull};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::bindings as ffi;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use record::{Partition, Topic};

use super::context::{self, Context};
use crate::RawRecord;

/// How many messages are taken from a consumer's queue at once.
const MESSAGES_MAX: usize = 1_000;

/// A reference to one of librdkafka's queues; must be dropped before its client.
struct Queue(NonNull<ffi::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}

impl Queue {
    fn new<C: rdkafka::ClientContext>(client: &Client<C>) -> Option<Self> {
        // SAFETY: the client is alive; the new reference is released by `drop`.
        NonNull::new(unsafe { ffi::rd_kafka_queue_new(client.native_ptr()) }).map(Self)
    }

    fn main<C: rdkafka::ClientContext>(client: &Client<C>) -> Option<Self> {
        // SAFETY: as above.
        NonNull::new(unsafe { ffi::rd_kafka_queue_get_main(client.native_ptr()) }).map(Self)
    }

    fn consumer<C: rdkafka::ClientContext>(client: &Client<C>) -> Option<Self> {
        // SAFETY: as above.
        NonNull::new(unsafe { ffi::rd_kafka_queue_get_consumer(client.native_ptr()) }).map(Self)
    }

    /// The next event, if one comes in time.
    fn poll(&self, timeout: Duration) -> Option<Event> {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; the event is ours and released by `Event::drop`.
        NonNull::new(unsafe { ffi::rd_kafka_queue_poll(self.0.as_ptr(), timeout_ms) }).map(Event)
    }

    /// Forwards waiting log lines, and lets other events go.
    fn serve_logs(&self) {
        while let Some(event) = self.poll(Duration::ZERO) {
            event.log();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: releases the reference that this value owns.
        unsafe { ffi::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

struct Event(NonNull<ffi::rd_kafka_event_t>);

impl Event {
    fn log(&self) {
        let (mut facility, mut message, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the event is alive; the call fills in pointers into it, and says with 0 that
        // it is a log line.
        let found = unsafe {
            ffi::rd_kafka_event_log(self.0.as_ptr(), &mut facility, &mut message, &mut level)
        };
        if found == 0 {
            context::log(level, &text(message));
        }
    }

    fn error(&self) -> Option<RDKafkaErrorCode> {
        // SAFETY: the event is alive.
        failed(unsafe { ffi::rd_kafka_event_error(self.0.as_ptr()) })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and nothing borrowed from it is used any more.
        unsafe { ffi::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// Forwards what waits in the main queue of a client that is not polled otherwise; without this
/// its log lines pile up for as long as a broker is away.
pub(super) fn serve_logs<C: rdkafka::ClientContext>(client: &Client<C>) {
    if let Some(queue) = Queue::main(client) {
        queue.serve_logs();
    }
}

/// A topic as the brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// Its name.
    pub(super) name: String,
    /// Its id, which changes when it is deleted and made again; 0 from brokers that have none.
    pub(super) id: u128,
    /// How many partitions it has.
    pub(super) partitions: usize,
    /// The smallest number of replicas among them.
    pub(super) replicas: usize,
}

/// Asks the brokers for these topics; those that do not exist are left out.
///
/// # Errors
/// When there is no answer, or one that says nothing about a topic.
pub(super) fn describe_topics<C: rdkafka::ClientContext>(
    client: &Client<C>,
    names: &[String],
    timeout: Duration,
) -> Result<Vec<Described>, String> {
    let c_names: Vec<CString> = names
        .iter()
        .map(|name| CString::new(name.as_str()))
        .collect::<Result<_, _>>()
        .map_err(|_| "a topic name has a NUL in it".to_owned())?;
    let mut pointers: Vec<*const c_char> = c_names.iter().map(|name| name.as_ptr()).collect();
    let queue = Queue::new(client).ok_or("librdkafka gave no queue")?;
    // SAFETY: the names outlive the call that copies them; the collection outlives the request,
    // which copies it too; the client and the queue are alive.
    unsafe {
        let topics =
            ffi::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        ffi::rd_kafka_DescribeTopics(client.native_ptr(), topics, ptr::null(), queue.0.as_ptr());
        ffi::rd_kafka_TopicCollection_destroy(topics);
    }
    let event = queue.poll(timeout).ok_or("no answer in time")?;
    if let Some(code) = event.error() {
        return Err(code.to_string());
    }
    let mut count = 0;
    // SAFETY: the event is a result of this kind or the pointer is null; the array and what it
    // points to live as long as the event.
    let described = unsafe {
        let result = ffi::rd_kafka_event_DescribeTopics_result(event.0.as_ptr());
        if result.is_null() {
            return Err("the answer was of another kind".to_owned());
        }
        slice(
            ffi::rd_kafka_DescribeTopics_result_topics(result, &mut count),
            count,
        )
    };
    let known = described
        .iter()
        .filter_map(|topic| described_topic(*topic).transpose());
    known.collect()
}

/// `None` for a topic that does not exist.
fn described_topic(
    topic: *const ffi::rd_kafka_TopicDescription_t,
) -> Result<Option<Described>, String> {
    // SAFETY: the description lives as long as the event that the caller holds.
    unsafe {
        let name = text(ffi::rd_kafka_TopicDescription_name(topic));
        let error = ffi::rd_kafka_TopicDescription_error(topic);
        let code = failed(ffi::rd_kafka_error_code(error));
        match code {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(None),
            Some(code) => return Err(format!("topic {name}: {code}")),
        }
        let id = ffi::rd_kafka_TopicDescription_topic_id(topic);
        let high = ffi::rd_kafka_Uuid_most_significant_bits(id) as u64;
        let low = ffi::rd_kafka_Uuid_least_significant_bits(id) as u64;
        let mut count = 0;
        let partitions = slice(
            ffi::rd_kafka_TopicDescription_partitions(topic, &mut count),
            count,
        );
        let replicas = |partition: &*const ffi::rd_kafka_TopicPartitionInfo_t| {
            let mut replicas = 0;
            ffi::rd_kafka_TopicPartitionInfo_replicas(*partition, &mut replicas);
            replicas
        };
        Ok(Some(Described {
            name,
            id: u128::from(high) << 64 | u128::from(low),
            partitions: partitions.len(),
            replicas: partitions.iter().map(replicas).min().unwrap_or(0),
        }))
    }
}

/// What a consumer's queue gave.
#[derive(Debug)]
pub(super) enum Fetched {
    /// A record of a partition.
    Record(Partition, RawRecord),
    /// An error, of a partition if it is named.
    Failed {
        partition: Option<Partition>,
        code: RDKafkaErrorCode,
        text: String,
    },
}

/// A consumer whose queue is read in batches.
pub(super) struct Batches {
    // The queues are dropped before the consumer that they belong to.
    queue: Queue,
    logs: Queue,
    consumer: BaseConsumer<Context>,
    names: Vec<(CString, Topic)>,
    messages: Vec<*mut ffi::rd_kafka_message_t>,
}

// SAFETY: the pointers in `messages` are used within one call only; the queues and the consumer
// may move between threads.
unsafe impl Send for Batches {}

impl Batches {
    /// Takes a consumer over; `names` says which topic is meant by which name.
    pub(super) fn new(
        consumer: BaseConsumer<Context>,
        names: Vec<(CString, Topic)>,
    ) -> Result<Self, String> {
        let client = consumer.client();
        let queue = Queue::consumer(client).ok_or("the consumer has no queue")?;
        let logs = Queue::new(client).ok_or("librdkafka gave no queue")?;
        // Log lines would come through the consumer's queue, and a batch call prints them to
        // standard error; in a queue of their own they can be forwarded.
        // SAFETY: the client and the queue are alive.
        unsafe { ffi::rd_kafka_set_log_queue(client.native_ptr(), logs.0.as_ptr()) };
        Ok(Self {
            queue,
            logs,
            consumer,
            names,
            messages: vec![ptr::null_mut(); MESSAGES_MAX],
        })
    }

    /// The consumer, to assign partitions.
    pub(super) fn consumer(&self) -> &BaseConsumer<Context> {
        &self.consumer
    }

    /// Stops reading.
    pub(super) fn unassign(&self) {
        if let Err(error) = self.consumer.unassign() {
            tracing::warn!(%error, "a consumer goes on reading what nobody wants");
        }
    }

    /// Waits at most this long for something, and takes what is there.
    pub(super) fn fetch(&mut self, timeout: Duration) -> Vec<Fetched> {
        self.logs.serve_logs();
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let mut count = self.take(0, 1, timeout_ms);
        if count > 0 {
            count += self.take(count, MESSAGES_MAX - count, 0);
        }
        let mut last = (ptr::null_mut(), None);
        let mut fetched = Vec::with_capacity(count);
        for at in 0..count {
            // SAFETY: the first `count` pointers are messages that are ours until they are
            // destroyed, each once, after it was copied.
            unsafe {
                let message = self.messages[at];
                if last.0 != (*message).rkt {
                    last = ((*message).rkt, self.topic((*message).rkt));
                }
                fetched.push(copy(&*message, last.1));
                ffi::rd_kafka_message_destroy(message);
            }
        }
        fetched
    }

    fn take(&mut self, at: usize, count: usize, timeout_ms: i32) -> usize {
        let free = &mut self.messages[at..at + count];
        // SAFETY: the call writes at most `count` pointers into the slice.
        let taken = unsafe {
            ffi::rd_kafka_consume_batch_queue(
                self.queue.0.as_ptr(),
                timeout_ms,
                free.as_mut_ptr(),
                free.len(),
            )
        };
        usize::try_from(taken).unwrap_or(0)
    }

    fn topic(&self, topic: *mut ffi::rd_kafka_topic_t) -> Option<Topic> {
        if topic.is_null() {
            return None;
        }
        // SAFETY: the topic of a message is alive as long as the message.
        let name = unsafe { CStr::from_ptr(ffi::rd_kafka_topic_name(topic)) };
        let known = self
            .names
            .iter()
            .find(|(known, _)| known.as_c_str() == name);
        known.map(|(_, topic)| *topic)
    }
}

/// # Safety
/// The message has to be alive.
unsafe fn copy(message: &ffi::rd_kafka_message_t, topic: Option<Topic>) -> Fetched {
    let partition = topic.and_then(|topic| {
        let number = u16::try_from(message.partition).ok()?;
        Some(Partition { topic, number })
    });
    // SAFETY: key and payload point into the message, with these lengths.
    let (key, payload) = unsafe {
        let key = slice(message.key.cast::<u8>(), message.key_len);
        (key, slice(message.payload.cast::<u8>(), message.len))
    };
    match (failed(message.err), partition) {
        (None, Some(partition)) => {
            let record = RawRecord {
                offset: message.offset as u64,
                key: Bytes::copy_from_slice(key),
                payload: Bytes::copy_from_slice(payload),
            };
            Fetched::Record(partition, record)
        }
        (code, partition) => Fetched::Failed {
            partition,
            code: code.unwrap_or(RDKafkaErrorCode::UnknownPartition),
            // An error's payload is its text.
            text: String::from_utf8_lossy(payload).into_owned(),
        },
    }
}

fn failed(code: ffi::rd_kafka_resp_err_t) -> Option<RDKafkaErrorCode> {
    (code != ffi::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
}

/// # Safety
/// A pointer that is not null points to this many values, which outlive the slice.
unsafe fn slice<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: by the contract of this function.
    unsafe { std::slice::from_raw_parts(first, count) }
}

fn text(message: *const c_char) -> String {
    if message.is_null() {
        return String::new();
    }
    // SAFETY: librdkafka's strings end with NUL, and the owner is held by the caller.
    unsafe { CStr::from_ptr(message) }
        .to_string_lossy()
        .into_owned()
}

/// Lets a client fail for good, as a sequence gap would.
#[cfg(test)]
pub(super) fn fail_for_good<C: rdkafka::ClientContext>(client: &Client<C>) {
    let code = ffi::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    // SAFETY: the client is alive, the reason ends with NUL and is copied.
    unsafe { ffi::rd_kafka_test_fatal_error(client.native_ptr(), code, c"a test".as_ptr()) };
}
