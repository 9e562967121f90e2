//! The gate as a process uses it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use command_api::gate::{
    Current, Decide, Gate, GateError, Intent, Look, Looked, Pending, Rebuild, Rebuilt, Reply,
    Settle, Settled, Verdict,
};
use record::{Partition, Position, RecordId};

use super::cluster::{Cluster, Message};
use super::server::Server;
use crate::link::Link;
use crate::recovery::Step;
use crate::world::short;

/// A process' connection to the gate.
#[derive(Debug, Clone)]
pub struct Connection {
    cluster: Arc<Cluster>,
    link: Arc<Link>,
}

impl Connection {
    /// The connection of a process.
    pub fn new(cluster: &Arc<Cluster>, link: &Arc<Link>) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            link: Arc::clone(link),
        }
    }

    async fn call<T: Send + 'static>(
        &self,
        what: String,
        repeatable: bool,
        tell: fn(&T) -> String,
        run: impl Fn(&mut Server) -> Result<T, GateError> + Send + Sync + 'static,
    ) -> Result<T, GateError> {
        let message = Message {
            what,
            repeatable,
            run: Arc::new(run),
            tell,
            step: None,
        };
        self.cluster.call(&self.link, message).await
    }

    fn decides(&self, current: &Current) {
        let deciders = &self.cluster.world.deciders;
        deciders.heard(current.epoch, self.link.version);
    }

    /// A step of a rebuild, which nobody sends twice.
    async fn step<T: Send + 'static>(
        &self,
        step: Step,
        what: String,
        tell: fn(&T) -> String,
        run: impl Fn(&mut Server) -> Result<T, GateError> + Send + Sync + 'static,
    ) -> Result<T, GateError> {
        let message = Message {
            what,
            repeatable: false,
            run: Arc::new(run),
            tell,
            step: Some(step),
        };
        self.cluster.call(&self.link, message).await
    }
}

#[async_trait]
impl Gate for Connection {
    async fn probe(&self) -> Result<(), GateError> {
        self.call("probes".to_owned(), false, |()| "ok".to_owned(), |_| Ok(()))
            .await
    }

    async fn current(&self) -> Result<Option<Current>, GateError> {
        let tell = |current: &Option<Current>| match current {
            Some(current) => format!("epoch {}", current.epoch),
            None => "nothing".to_owned(),
        };
        self.call("asks for the epoch".to_owned(), false, tell, |server| {
            Ok(server.current())
        })
        .await
    }

    async fn load(&self, current: &Current, looks: &[Look]) -> Result<Reply<Looked>, GateError> {
        let what = format!("loads {} in epoch {}", looks.len(), current.epoch);
        let (current, looks) = (current.clone(), looks.to_vec());
        self.call(what, true, told_looks, move |server| {
            server.script(&current, false, |data| data.load(&looks))
        })
        .await
    }

    async fn decide(
        &self,
        current: &Current,
        commands: &[Decide],
    ) -> Result<Reply<Verdict>, GateError> {
        let names: Vec<_> = commands.iter().map(named).collect();
        let what = format!("decides {} in epoch {}", names.join(", "), current.epoch);
        let (current, commands) = (current.clone(), commands.to_vec());
        self.decides(&current);
        self.call(what, true, told_verdicts, move |server| {
            server.script(&current, true, |data| data.decide(&commands))
        })
        .await
    }

    async fn settle(
        &self,
        current: &Current,
        records: &[Settle],
        tails: &[Position],
    ) -> Result<Reply<Settled>, GateError> {
        let names: Vec<_> = records.iter().map(|it| short(it.record.0)).collect();
        let what = format!("settles {} in epoch {}", names.join(", "), current.epoch);
        let (current, records, tails) = (current.clone(), records.to_vec(), tails.to_vec());
        self.decides(&current);
        let tell = |reply: &Reply<Settled>| format!("{:?}", reply.answers);
        self.call(what, true, tell, move |server| {
            server.script(&current, false, |data| data.settle(&records, &tails))
        })
        .await
    }

    async fn pending(
        &self,
        current: &Current,
        of: Option<&[RecordId]>,
    ) -> Result<Vec<Pending>, GateError> {
        let what = format!("looks for pending records of epoch {}", current.epoch);
        let (current, of) = (current.clone(), of.map(<[RecordId]>::to_vec));
        let tell = |pending: &Vec<Pending>| {
            let names: Vec<_> = pending.iter().map(|it| short(it.record.0)).collect();
            format!("[{}]", names.join(", "))
        };
        self.call(what, true, tell, move |server| {
            server.script(&current, false, |data| Ok(data.pending(of.as_deref())))
        })
        .await
    }

    async fn tail_starts(&self, current: &Current) -> Result<BTreeMap<Partition, u64>, GateError> {
        let what = format!("asks where tails of epoch {} start", current.epoch);
        let current = current.clone();
        let tell = |_: &BTreeMap<Partition, u64>| "told".to_owned();
        self.call(what, true, tell, move |server| {
            server.script(&current, false, |data| Ok(data.tail_starts()))
        })
        .await
    }

    async fn begin_rebuild(&self, epoch: u64) -> Result<Box<dyn Rebuild>, GateError> {
        let what = format!("looks whether epoch {epoch} can be built");
        let tell = |replid: &u64| format!("replication id {replid}");
        self.step(Step::Looked, what, tell, move |server| {
            server.master_replid(epoch)
        })
        .await?;
        let what = format!("deletes epochs below {epoch}");
        self.step(Step::Deleted, what, done, move |server| {
            server.delete_below(epoch)
        })
        .await?;
        let what = format!("asks for the replication id of epoch {epoch}");
        let replid = self
            .step(Step::Identified, what, tell, move |server| {
                server.master_replid(epoch)
            })
            .await?;
        let what = format!("writes the marker of epoch {epoch}");
        self.step(Step::Marked, what, done, move |server| server.mark(epoch))
            .await?;
        Ok(Box::new(Rebuilding {
            connection: self.clone(),
            epoch,
            replid,
        }))
    }
}

struct Rebuilding {
    connection: Connection,
    epoch: u64,
    replid: u64,
}

#[async_trait]
impl Rebuild for Rebuilding {
    async fn write(&mut self, pieces: Vec<Rebuilt>) -> Result<(), GateError> {
        let epoch = self.epoch;
        let what = format!("writes {} pieces of epoch {epoch}", pieces.len());
        self.connection
            .step(Step::Written, what, done, move |server| {
                server.write(epoch, &pieces)
            })
            .await
    }

    async fn publish(
        self: Box<Self>,
        fences: BTreeMap<Partition, u64>,
    ) -> Result<Current, GateError> {
        let (epoch, replid) = (self.epoch, self.replid);
        let what = format!("loads the scripts of epoch {epoch}");
        self.connection
            .step(Step::Loaded, what, done, move |server| {
                server.load_scripts(epoch, replid);
                Ok(())
            })
            .await?;
        let what = format!("publishes epoch {epoch}");
        let tell = |_: &Current| "published".to_owned();
        self.connection
            .step(Step::Published, what, tell, move |server| {
                server.publish(epoch, replid, &fences)
            })
            .await
    }
}

fn done((): &()) -> String {
    "done".to_owned()
}

fn named(command: &Decide) -> String {
    let kind = match &command.intent {
        Intent::Append(_) => "",
        Intent::Refuse(_) => "refused ",
    };
    let aggregate = &command.aggregate;
    let id = aggregate.id.get(24..).unwrap_or(&aggregate.id);
    let key = command.key.as_ref().map_or("-", |key| &key.key);
    let record = short(command.record.0);
    format!(
        "{kind}{record} of {} {id} key {key}",
        aggregate.kind.as_str()
    )
}

fn told_looks(reply: &Reply<Looked>) -> String {
    let told: Vec<_> = reply.answers.iter().map(told_look).collect();
    told.join(", ")
}

fn told_look(looked: &Looked) -> String {
    match looked {
        Looked::Nothing => "nothing".to_owned(),
        Looked::Aggregate(found) => format!("version {}", found.version),
        Looked::Item(value) => format!("{}/{}", value.available, value.supplied),
        Looked::ItemPending(record) => format!("pending {}", short(record.0)),
    }
}

fn told_verdicts(reply: &Reply<Verdict>) -> String {
    let told: Vec<_> = reply.answers.iter().map(told_verdict).collect();
    told.join(", ")
}

fn told_verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accepted {
            version, figures, ..
        } => {
            let figures: Vec<_> = figures
                .iter()
                .map(|(sku, now)| format!(" {sku} {}/{}", now.available, now.supplied))
                .collect();
            format!("accepted as version {version}{}", figures.concat())
        }
        Verdict::Replayed { record, .. } => format!("replayed {}", short(record.0)),
        Verdict::KeyReused => "key reused".to_owned(),
        Verdict::Refused {
            refusal, replayed, ..
        } => format!(
            "refused {refusal:?}{}",
            if *replayed { " again" } else { "" }
        ),
        Verdict::GenerationOver => "generation over".to_owned(),
        Verdict::VersionChanged => "version changed".to_owned(),
        Verdict::TermsChanged(_) => "terms changed".to_owned(),
        Verdict::ItemPending { record, .. } => format!("item pending {}", short(record.0)),
    }
}
