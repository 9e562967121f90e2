//! What the program under test counts itself: by that it is seen what was really reached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use parking_lot::Mutex;

/// Counters by the value of their first label; those without one are not kept.
#[derive(Debug, Default)]
pub struct Measured {
    counters: Mutex<BTreeMap<(String, String), Arc<Count>>>,
}

#[derive(Debug, Default)]
struct Count(AtomicU64);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Measured {
    /// What stands behind a counter's name, by its label.
    pub fn of(&self, name: &str) -> BTreeMap<String, u64> {
        let counters = self.counters.lock();
        let of_name = counters.iter().filter(|((of, _), _)| of == name);
        of_name
            .map(|((_, label), count)| (label.clone(), count.0.load(Ordering::Relaxed)))
            .collect()
    }
}

impl Recorder for Measured {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let Some(label) = key.labels().next() else {
            return Counter::noop();
        };
        let place = (key.name().to_owned(), label.value().to_owned());
        let mut counters = self.counters.lock();
        Counter::from_arc(Arc::clone(counters.entry(place).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
