//! Whatever happened, both stores tell the same, however the log was cut into batches, and it is
//! what a plain count of the history gives. Ordinarily these are always the same histories;
//! `HOLDFAST_PROPTEST_CASES` sets how many, and they are new ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ids::OrderId;
use event_log::EventLog;
use projectors::{ReadModels, digest, replay};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use query_api::read_model::{ItemsFilter, OrdersFilter, Paging};
use record::Position;

use crate::fixture::{Place, drain, projector, sqlite_log};
use crate::shop::{Shop, sku};

#[derive(Debug, Clone)]
enum Step {
    Put {
        item: u8,
        name: String,
        category: Option<String>,
    },
    Move {
        item: u8,
        units: i64,
    },
    Discontinue {
        item: u8,
    },
    Order {
        user: u8,
        lines: BTreeMap<u8, i64>,
    },
    Cancel {
        order: usize,
    },
    ChangeNothing {
        order: usize,
    },
    Register {
        email: u8,
    },
    /// The log delivers an earlier record again.
    Again {
        record: usize,
    },
    NextEpoch,
    /// The first store takes in what there is, so far.
    TakeIn,
}

fn step() -> impl Strategy<Value = Step> {
    // Names that collations and escapes stumble over.
    let text = || "[a-cß'\\\\%_ é🛒]{1,6}";
    prop_oneof![
        3 => (0..4u8, text(), proptest::option::of(text()))
            .prop_map(|(item, name, category)| Step::Put { item, name, category }),
        3 => (0..4u8, prop_oneof![-20i64..=-1, 1i64..=20])
            .prop_map(|(item, units)| Step::Move { item, units }),
        1 => (0..4u8).prop_map(|item| Step::Discontinue { item }),
        4 => (0..3u8, proptest::collection::btree_map(0..4u8, 1i64..=5, 1..=3))
            .prop_map(|(user, lines)| Step::Order { user, lines }),
        2 => any::<usize>().prop_map(|order| Step::Cancel { order }),
        1 => any::<usize>().prop_map(|order| Step::ChangeNothing { order }),
        1 => any::<u8>().prop_map(|email| Step::Register { email }),
        2 => any::<usize>().prop_map(|record| Step::Again { record }),
        1 => Just(Step::NextEpoch),
        2 => Just(Step::TakeIn),
    ]
}

/// What a plain count says of an item.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counted {
    supplied: i64,
    held: i64,
    active: bool,
}

#[derive(Default)]
struct History {
    items: BTreeMap<u8, Counted>,
    orders: Vec<(OrderId, BTreeMap<u8, i64>, bool)>,
    records: Vec<Position>,
}

fn name(item: u8) -> String {
    format!("S-{item}")
}

impl History {
    async fn write(&mut self, shop: &mut Shop, step: &Step) {
        let position = match step {
            Step::Put {
                item,
                name: text,
                category,
            } => {
                self.items.entry(*item).or_default().active = true;
                Some(shop.put(&name(*item), text, category.as_deref()).await)
            }
            Step::Move { item, units } if self.items.contains_key(item) => {
                self.items.entry(*item).or_default().supplied += units;
                Some(shop.move_stock(&name(*item), *units).await)
            }
            Step::Discontinue { item } if self.items.contains_key(item) => {
                self.items.entry(*item).or_default().active = false;
                Some(shop.discontinue(&name(*item)).await)
            }
            Step::Order { user, lines } => self.order(shop, *user, lines).await,
            Step::Cancel { order } => self.cancel(shop, *order).await,
            Step::ChangeNothing { order } if !self.orders.is_empty() => {
                let id = self.orders[order % self.orders.len()].0;
                Some(shop.change_nothing(id).await)
            }
            Step::Register { email } => {
                shop.register(*email).await;
                None
            }
            Step::Again { record } if !self.records.is_empty() => {
                let position = self.records[record % self.records.len()];
                let copy = shop.log.read_at(position).await.unwrap();
                shop.append(position.partition, "", Some(copy.payload.to_vec()))
                    .await;
                None
            }
            Step::NextEpoch => {
                shop.next_epoch().await;
                None
            }
            _ => None,
        };
        self.records.extend(position);
    }

    async fn order(
        &mut self,
        shop: &mut Shop,
        user: u8,
        lines: &BTreeMap<u8, i64>,
    ) -> Option<Position> {
        let can_be_ordered = |item: &u8| self.items.get(item).is_some_and(|item| item.active);
        if !lines.keys().all(can_be_ordered) {
            return None;
        }
        let named: Vec<_> = lines
            .iter()
            .map(|(item, units)| (name(*item), *units))
            .collect();
        let named: Vec<_> = named
            .iter()
            .map(|(name, units)| (name.as_str(), *units))
            .collect();
        let (id, position) = shop.order(u128::from(user), &named).await;
        for (item, units) in lines {
            self.items.entry(*item).or_default().held += units;
        }
        self.orders.push((id, lines.clone(), true));
        Some(position)
    }

    async fn cancel(&mut self, shop: &mut Shop, order: usize) -> Option<Position> {
        let count = self.orders.len();
        let (id, lines, alive) = self.orders.get_mut(order.checked_rem(count)?)?;
        if !std::mem::take(alive) {
            return None;
        }
        for (item, units) in lines.iter() {
            self.items.entry(*item).or_default().held -= units;
        }
        Some(shop.cancel(*id).await)
    }
}

async fn both_stores_agree(steps: &[Step], mysql: &Place) {
    let sqlite = Place::sqlite().await;
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(Arc::clone(&log)).await;
    let mut history = History::default();
    let mut piecemeal = projector(&log, sqlite.read_models()).await;
    for step in steps {
        history.write(&mut shop, step).await;
        if matches!(step, Step::TakeIn) {
            piecemeal.run_until_caught_up().await.unwrap();
        }
    }
    piecemeal.run_until_caught_up().await.unwrap();
    drain(&log, mysql).await;
    assert_same_rows(&log, &sqlite.read_models(), &mysql.read_models()).await;
    assert_same_answers(&sqlite, mysql).await;
    for (item, counted) in &history.items {
        let shown = sqlite
            .queries()
            .item(&sku(&name(*item)))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (shown.supplied, shown.held),
            (counted.supplied, counted.held)
        );
    }
}

async fn assert_same_rows(log: &Arc<dyn EventLog>, sqlite: &ReadModels, mysql: &ReadModels) {
    let live = digest(sqlite).await.unwrap();
    assert_eq!(digest(mysql).await.unwrap(), live);
    let replayed = replay(Arc::clone(log), sqlite, |_| {}).await.unwrap();
    assert_eq!(replayed.digest, live);
}

async fn assert_same_answers(one: &Place, two: &Place) {
    let (one, two) = (one.queries(), two.queries());
    let paging = Paging::first(3);
    for q in ["a", "SS", "'", "\\", "%", "_", " ", "É", "🛒"] {
        let q = Some(q.to_owned());
        let filter = ItemsFilter {
            q,
            ..ItemsFilter::default()
        };
        let (here, there) = (
            one.items(&filter, &paging).await,
            two.items(&filter, &paging).await,
        );
        assert_eq!(here.unwrap(), there.unwrap(), "{filter:?}");
    }
    for category in ["a", "a ", "ß", "é", "b"] {
        let category = Some(category.to_owned());
        let filter = ItemsFilter {
            category,
            in_stock: Some(true),
            q: None,
        };
        let (here, there) = (
            one.items(&filter, &paging).await,
            two.items(&filter, &paging).await,
        );
        assert_eq!(here.unwrap(), there.unwrap(), "{filter:?}");
    }
    let mut paging = Paging::first(3);
    loop {
        let filter = OrdersFilter::default();
        let here = one.orders(&filter, &paging).await.unwrap();
        assert_eq!(here, two.orders(&filter, &paging).await.unwrap());
        let Some(next) = here.next else { return };
        paging.after = Some(next);
    }
}

#[test]
fn both_stores_tell_the_same_of_any_history() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let more = std::env::var("HOLDFAST_PROPTEST_CASES").ok();
    let more = more.map(|cases| cases.parse().expect("a number of cases"));
    let config = ProptestConfig {
        cases: more.unwrap_or(24),
        rng_seed: more.map_or(RngSeed::Fixed(1), |_| RngSeed::Random),
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in proptest::collection::vec(step(), 1..60))| {
        runtime.block_on(async {
            let mysql = Place::mysql().await;
            both_stores_agree(&steps, &mysql).await;
            mysql.drop_database().await;
        });
    });
}
