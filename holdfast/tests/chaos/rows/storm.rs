//! Faults of every kind at once, at random: any process is killed or paused, Redis is flushed,
//! restarted and failed over, doors are shut, brokers and MySQL die and stumble, clients hang up.

use std::time::Duration;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::Row;
use crate::door::Passing;
use crate::load::HOT;
use crate::redis::ask;
use crate::scene::Scene;
use crate::shop::Role;

pub(super) const ROWS: &[Row] = &[row!(
    "F0.a",
    "twenty faults of twelve kinds, one after the other, at random",
    f00_storm
)
.answers_within(60)];

const ROLES: [Role; 5] = [
    Role::CommandApi(0),
    Role::CommandApi(1),
    Role::Projectors(0),
    Role::Projectors(1),
    Role::QueryApi,
];

/// How many faults there are beside one of each kind.
const MORE: usize = 8;

#[derive(Clone, Copy)]
enum Fault {
    ProcessKilled,
    ProcessPaused,
    RedisFlushed,
    RedisRestarted,
    RedisFailedOver,
    RedisRepliesLost,
    BrokerPaused,
    BrokerKilled,
    BrokersCut,
    MySqlRestarted,
    MySqlRepliesLost,
    ClientsHangUp,
}

const KINDS: [Fault; 12] = [
    Fault::ProcessKilled,
    Fault::ProcessPaused,
    Fault::RedisFlushed,
    Fault::RedisRestarted,
    Fault::RedisFailedOver,
    Fault::RedisRepliesLost,
    Fault::BrokerPaused,
    Fault::BrokerKilled,
    Fault::BrokersCut,
    Fault::MySqlRestarted,
    Fault::MySqlRepliesLost,
    Fault::ClientsHangUp,
];

async fn f00_storm(scene: &mut Scene<'_>) {
    scene.begins();
    let mut faults = KINDS.to_vec();
    for _ in 0..MORE {
        faults.push(*KINDS.choose(&mut scene.draws).unwrap());
    }
    faults.shuffle(&mut scene.draws);
    let mut keys = vec![];
    for fault in faults {
        let time = Duration::from_millis(scene.draws.random_range(50..1500));
        keys.extend(scene.suffers(fault, time).await);
    }
    scene.is_over();
    let worker = scene.load.worker();
    for (key, _) in keys {
        worker.order_with_key(&key, &[(HOT, 1)]).await;
    }
}

impl Scene<'_> {
    /// The keys of orders of which nobody heard what became of them.
    async fn suffers(&mut self, fault: Fault, time: Duration) -> Vec<(String, bool)> {
        let role = *ROLES.choose(&mut self.draws).unwrap();
        let broker = self.draws.random_range(0..3);
        match fault {
            Fault::ProcessKilled => {
                self.shop.node(role).kill().await;
                tokio::time::sleep(time / 4).await;
                self.shop.restart(role).await;
            }
            Fault::ProcessPaused => {
                self.shop.node(role).signal("-STOP");
                tokio::time::sleep(time).await;
                self.shop.node(role).signal("-CONT");
            }
            Fault::RedisFlushed => drop(ask(&self.shop.redis[0], &["FLUSHALL"]).await),
            Fault::RedisRestarted => {
                self.shop.redis[0].kill();
                tokio::time::sleep(time / 4).await;
                self.shop.redis[0].restart().await;
            }
            Fault::RedisFailedOver => self.fail_over().await,
            Fault::RedisRepliesLost => {
                let door = &self.shop.redis_doors[self.draws.random_range(0..2)];
                door.set(Passing::RepliesLost);
                tokio::time::sleep(time).await;
                door.set(Passing::Open);
            }
            Fault::BrokerPaused => {
                self.stage.kafka[broker].pause();
                tokio::time::sleep(time).await;
                self.stage.kafka[broker].go_on();
            }
            Fault::BrokerKilled => {
                self.stage.kafka[broker].kill();
                tokio::time::sleep(time).await;
                self.stage.kafka[broker].restart().await;
            }
            Fault::BrokersCut => {
                self.stage.kafka_doors.iter().for_each(|door| door.slam());
                tokio::time::sleep(time / 4).await;
            }
            Fault::MySqlRestarted => {
                self.stage.mysql.kill();
                tokio::time::sleep(time / 4).await;
                self.stage.mysql.restart().await;
            }
            Fault::MySqlRepliesLost => {
                self.stage.mysql_door.set(Passing::RepliesLost);
                tokio::time::sleep(time).await;
                self.stage.mysql_door.set(Passing::Open);
            }
            Fault::ClientsHangUp => return self.hang_up(10, HOT).await,
        }
        vec![]
    }
}
