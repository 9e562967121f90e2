//! The topic of claims, followed from its start: who claimed what, what was opened, who lives.

use std::collections::BTreeMap;
use std::sync::Arc;

use event_log::{EventLog, LogError};
use record::epochs::{EpochEntry, GATE_INTERFACE, Shop};
use record::{Layout, Partition, Position};
use tokio::sync::watch;
use uuid::Uuid;

/// A claim and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its offset in the topic.
    pub offset: u64,
    /// Its id.
    pub id: Uuid,
    /// The claimant's gate interface.
    pub interface: u32,
    /// The claimant's topics.
    pub layout: Layout,
    /// The claimant's shop.
    pub shop: Shop,
    /// The claimant's base.
    pub base: u64,
    /// The claimant.
    pub node: Uuid,
}

/// What the topic says so far.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The next offset to read.
    pub next: u64,
    /// Every claim, oldest first.
    pub claims: Vec<Claimed>,
    /// The highest epoch that was opened and where its fences stand.
    pub opened: Option<(u64, BTreeMap<String, u64>)>,
    /// Where the last opening stands.
    pub opened_at: Option<u64>,
    /// Claims since an epoch was last opened: they led to nothing so far.
    pub fruitless: u32,
    /// Counts everything that shows life (a claim, an opening, a sign of life).
    pub signs: u64,
    /// The last sign of life that a rebuilding node gave: who, and how far it was.
    pub rebuilding: Option<(Uuid, u64)>,
    /// The last question whether an epoch lives: who asked, and for which.
    pub asked: Option<(u64, Uuid)>,
    /// Counts the questions.
    pub questions: u64,
    /// An entry that this program cannot read; it must not recover.
    pub unreadable: Option<String>,
}

impl History {
    /// Names the log: the id of its first claim.
    pub fn log_id(&self) -> Option<Uuid> {
        self.claims.first().map(|claim| claim.id)
    }

    /// The epoch of the claim with this id, once it was read back.
    pub fn epoch_of(&self, id: Uuid) -> Option<u64> {
        let base = self.claims.first()?.base;
        self.claims
            .iter()
            .find(|claim| claim.id == id)
            .map(|claim| claim.offset + base)
    }

    /// Whether an epoch was claimed by this node, which does not rebuild any more, and nobody said
    /// that it was opened.
    pub fn is_given_up_by(&self, node: Uuid, epoch: u64) -> bool {
        if matches!(&self.opened, Some((opened, _)) if *opened >= epoch) {
            return false;
        }
        let own = self.claims.iter().filter(|claim| claim.node == node);
        own.rev()
            .any(|claim| self.epoch_of(claim.id) == Some(epoch))
    }

    /// Whether no claim stands between those of two epochs, so that none was open between them.
    pub fn is_next(&self, before: u64, after: u64) -> bool {
        let base = self.claims.first().map_or(0, |first| first.base);
        let mut epochs = self.claims.iter().map(|claim| claim.offset + base);
        !epochs.any(|epoch| before < epoch && epoch < after)
    }

    /// The epoch of the newest claim that another node than `node` made before the offset
    /// `before`, and that may still be opened: made after the last opening, and higher than
    /// `silent`, the highest that was waited for in vain.
    pub fn rival(&self, node: Uuid, before: u64, silent: Option<u64>) -> Option<u64> {
        let may_open = |claim: &&Claimed| {
            claim.node != node && claim.offset < before && Some(claim.offset) > self.opened_at
        };
        let newest = self.claims.iter().rev().find(may_open)?;
        self.epoch_of(newest.id)
            .filter(|epoch| Some(*epoch) > silent)
    }

    /// Checks that this program knows what every claim states, and is of the same shop.
    ///
    /// # Errors
    /// One sentence that says what does not fit; then this node may not recover.
    pub fn check(&self, layout: Layout, shop: &Shop) -> Result<(), String> {
        if let Some(unreadable) = &self.unreadable {
            return Err(format!(
                "the topic of epochs has an entry that this program does not know ({unreadable}); upgrade it"
            ));
        }
        for claim in &self.claims {
            if claim.interface > GATE_INTERFACE {
                return Err(format!(
                    "the log was written by a newer program (gate interface {}, known here: {GATE_INTERFACE}); upgrade this one",
                    claim.interface
                ));
            }
            if claim.layout != layout {
                return Err(format!(
                    "the log was begun with the partitions {:?}, but the topics have {layout:?}; the counts are fixed for good: restore the topics",
                    claim.layout
                ));
            }
            if claim.shop.currency != shop.currency {
                return Err(format!(
                    "the log's currency is {}, but this program was started with {}; start it with the log's currency",
                    claim.shop.currency, shop.currency
                ));
            }
            if claim.shop.secrets_check != shop.secrets_check {
                return Err("the secrets file does not belong to this log; start with the file with which the log was begun".to_owned());
            }
        }
        Ok(())
    }

    fn take_in(&mut self, offset: u64, payload: &[u8]) {
        self.next = offset + 1;
        match EpochEntry::decode(payload) {
            Err(error) => self.unreadable = Some(format!("offset {offset}: {error}")),
            Ok(EpochEntry::Claim {
                id,
                interface,
                layout,
                shop,
                base,
                node,
            }) => {
                self.rebuilding = None;
                self.signs += 1;
                self.fruitless += 1;
                // A claim may stand twice after an append with an unknown outcome; the first counts.
                if self.claims.iter().all(|claim| claim.id != id) {
                    self.claims.push(Claimed {
                        offset,
                        id,
                        interface,
                        layout,
                        shop,
                        base,
                        node,
                    });
                }
            }
            Ok(EpochEntry::Opened { epoch, fences }) => {
                self.rebuilding = None;
                self.signs += 1;
                self.fruitless = 0;
                self.opened_at = Some(offset);
                if self
                    .opened
                    .as_ref()
                    .is_none_or(|(highest, _)| *highest < epoch)
                {
                    self.opened = Some((epoch, fences));
                }
            }
            Ok(EpochEntry::SignOfLifeAsked { epoch, node }) => {
                self.asked = Some((epoch, node));
                self.questions += 1;
            }
            Ok(EpochEntry::SignOfLife { node, rebuilt, .. }) => {
                self.rebuilding = rebuilt.map(|rebuilt| (node, rebuilt));
                self.signs += 1;
            }
        }
    }
}

/// Follows the topic in a task of its own until the receiver is gone.
pub(crate) fn follow(log: Arc<dyn EventLog>) -> watch::Receiver<History> {
    let (sender, receiver) = watch::channel(History::default());
    tokio::spawn(async move {
        loop {
            let next = sender.borrow().next;
            let from = vec![Position {
                partition: Partition::EPOCHS,
                offset: next,
            }];
            if let Err(error) = read(&*log, from, &sender).await {
                tracing::warn!(%error, "the topic of epochs cannot be read; trying again");
            }
            if sender.is_closed() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    });
    receiver
}

async fn read(
    log: &dyn EventLog,
    from: Vec<Position>,
    sender: &watch::Sender<History>,
) -> Result<(), LogError> {
    let mut tail = log.tail(from).await?;
    loop {
        let batch = tokio::select! {
            biased;
            batch = tail.next() => batch?,
            () = sender.closed() => return Ok(()),
        };
        sender.send_modify(|history| {
            for raw in &batch.records {
                history.take_in(raw.offset, &raw.payload);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use domain::money::Currency;

    use super::*;

    fn shop(currency: &str) -> Shop {
        Shop {
            currency: Currency::parse(currency).unwrap(),
            secrets_check: "c".into(),
        }
    }

    fn claim(id: u128, interface: u32) -> Vec<u8> {
        let layout = Layout::uniform(1);
        let id = Uuid::from_u128(id);
        let node = Uuid::nil();
        EpochEntry::Claim {
            id,
            interface,
            layout,
            shop: shop("EUR"),
            base: 0,
            node,
        }
        .encode()
    }

    #[test]
    fn the_first_copy_of_a_claim_makes_its_epoch() {
        let mut history = History::default();
        history.take_in(0, &claim(1, GATE_INTERFACE));
        history.take_in(1, &claim(2, GATE_INTERFACE));
        history.take_in(2, &claim(1, GATE_INTERFACE));
        assert_eq!(history.epoch_of(Uuid::from_u128(1)), Some(0));
        assert_eq!(history.epoch_of(Uuid::from_u128(2)), Some(1));
        assert_eq!(history.log_id(), Some(Uuid::from_u128(1)));
    }

    #[test]
    fn a_newer_interface_another_layout_or_another_shop_stops_a_recovery() {
        let mut history = History::default();
        history.take_in(0, &claim(1, GATE_INTERFACE));
        assert_eq!(history.check(Layout::uniform(1), &shop("EUR")), Ok(()));
        assert!(history.check(Layout::uniform(2), &shop("EUR")).is_err());
        assert!(history.check(Layout::uniform(1), &shop("JPY")).is_err());
        history.take_in(1, &claim(2, GATE_INTERFACE + 1));
        assert!(history.check(Layout::uniform(1), &shop("EUR")).is_err());
    }

    #[test]
    fn of_two_claims_the_later_one_gives_way_unless_the_first_is_silent() {
        let mut history = History::default();
        let claim = |id, node| {
            let (layout, shop) = (Layout::uniform(1), shop("EUR"));
            let (id, node) = (Uuid::from_u128(id), Uuid::from_u128(node));
            let interface = GATE_INTERFACE;
            EpochEntry::Claim {
                id,
                interface,
                layout,
                shop,
                base: 0,
                node,
            }
            .encode()
        };
        history.take_in(0, &claim(1, 10));
        history.take_in(1, &claim(2, 20));
        let (first, second) = (Uuid::from_u128(10), Uuid::from_u128(20));
        assert_eq!(history.rival(first, 0, None), None);
        assert_eq!(history.rival(second, 1, None), Some(0));
        assert_eq!(
            history.rival(second, 1, Some(0)),
            None,
            "it was waited for in vain"
        );
        let fences = BTreeMap::new();
        history.take_in(2, &EpochEntry::Opened { epoch: 0, fences }.encode());
        assert_eq!(history.rival(second, 3, None), None, "it was opened");
    }

    #[test]
    fn an_entry_of_a_later_program_stops_a_recovery() {
        let mut history = History::default();
        history.take_in(0, br#"{"type":"something-new"}"#);
        assert!(history.check(Layout::uniform(1), &shop("EUR")).is_err());
    }
}
