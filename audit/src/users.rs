//! Users of one partition: whose an address is, what each may do, and how far its versions are.
//! Names and passwords are sealed and belong to no promise.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::body::Registered;
use crate::checks::Check;
use crate::entry::Entry;
use crate::place::{Offset, Place};
use crate::report::Findings;
use crate::versions::Reached;

/// Every user that a record names.
#[derive(Debug, Default)]
pub(crate) struct Users(BTreeMap<Uuid, User>);

/// A user. What it was at an earlier position is known as far as it is compared.
#[derive(Debug, Default)]
pub(crate) struct User {
    pub(crate) reached: Reached,
    pub(crate) registered: Option<Offset>,
    pub(crate) email_hash: Box<str>,
    /// Names the key that its data is sealed with.
    pub(crate) key: Uuid,
    /// Microseconds since 1970.
    pub(crate) created_at: i64,
    /// Every role, with the record since which it is.
    roles: Vec<(Offset, Box<str>)>,
}

impl Users {
    /// How far a user is, to be moved on.
    pub(crate) fn reached(&mut self, id: Uuid) -> &mut Reached {
        &mut self.0.entry(id).or_default().reached
    }

    pub(crate) fn register(
        &mut self,
        id: Uuid,
        entry: &Entry<'_>,
        event: &Registered<'_>,
        place: Place,
        findings: &mut Findings,
    ) {
        findings.looked(Check::Lives);
        if event.id != entry.aggregate {
            let found = format!("Its event registers user {}.", event.id);
            findings.broken(Check::Lives, entry.name(), place, found);
        }
        let user = self.0.entry(id).or_default();
        if let Some(before) = user.registered {
            let found = format!("It registered before, at {}.", before.of(place.partition));
            return findings.broken(Check::Lives, entry.name(), place, found);
        }
        let at = Offset::new(place.offset);
        user.registered = Some(at);
        user.email_hash = event.email_hash.into();
        user.key = event.key;
        user.created_at = event.at;
        user.roles.push((at, event.role.into()));
    }

    pub(crate) fn change_role(&mut self, id: Uuid, role: &str, place: Place) {
        let user = self.0.entry(id).or_default();
        user.roles.push((Offset::new(place.offset), role.into()));
    }

    /// A user that registered.
    pub(crate) fn get(&self, id: Uuid) -> Option<&User> {
        self.0.get(&id).filter(|user| user.registered.is_some())
    }

    /// Every user that registered.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Uuid, &User)> {
        let registered = self.0.iter().filter(|(_, user)| user.registered.is_some());
        registered.map(|(id, user)| (*id, user))
    }

    /// Every id that a record names.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.0.keys().copied()
    }
}

impl User {
    /// What it might do at a position: before this offset.
    pub(crate) fn role_before(&self, next_offset: u64) -> Option<&str> {
        let seen = self.roles.iter().rev();
        let mut seen = seen.filter(|(at, _)| at.get() < next_offset);
        seen.next().map(|(_, role)| role.as_ref())
    }
}
