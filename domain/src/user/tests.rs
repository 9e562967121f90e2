//! Given events, when a command, then events or a refusal.

use cqrs_es::test::TestFramework;
use uuid::Uuid;

use super::*;

type UserTest = TestFramework<User>;

fn sealed(text: &str) -> Sealed {
    Sealed::parse(text).unwrap()
}

fn at(microseconds: i64) -> Time {
    Time::from_microseconds(microseconds)
}

fn session(number: u128) -> SessionId {
    SessionId(Uuid::from_u128(number))
}

fn register() -> UserCommand {
    UserCommand::Register {
        id: UserId(Uuid::from_u128(1)),
        email_hash: EmailHash::parse(&"a".repeat(64)).unwrap(),
        key_id: PersonalKeyId(Uuid::from_u128(2)),
        email: sealed("email"),
        name: sealed("name"),
        password_hash: sealed("hash"),
        role: Role::Customer,
        at: at(1),
    }
}

fn registered() -> Vec<UserEvent> {
    User::default().decide(&register()).unwrap()
}

fn started(number: u128) -> UserEvent {
    UserEvent::SessionStarted {
        session: session(number),
        at: at(10),
    }
}

fn refreshed(counter: u64) -> UserEvent {
    UserEvent::SessionRefreshed {
        session: session(1),
        counter,
        at: at(20),
    }
}

fn refresh(counter: u64) -> UserCommand {
    UserCommand::RefreshSession {
        session: session(1),
        counter,
        at: at(20),
    }
}

fn given(more: impl IntoIterator<Item = UserEvent>) -> cqrs_es::test::AggregateTestExecutor<User> {
    UserTest::with(()).given(registered().into_iter().chain(more).collect())
}

#[test]
fn a_user_registers_once() {
    given([])
        .when(register())
        .then_expect_error(UserRefusal::AlreadyRegistered);
}

#[test]
fn a_user_that_never_registered_is_not_found() {
    UserTest::with(())
        .given_no_previous_events()
        .when(UserCommand::SetRole { role: Role::Admin })
        .then_expect_error(UserRefusal::NotFound);
}

#[test]
fn the_newest_refresh_token_moves_the_session_on() {
    given([started(1)])
        .when(refresh(1))
        .then_expect_events(vec![refreshed(2)]);
}

#[test]
fn the_previous_refresh_token_changes_nothing_until_its_successor_is_used() {
    given([started(1), refreshed(2)])
        .when(refresh(1))
        .then_expect_events(vec![]);
}

#[test]
fn an_older_refresh_token_ends_the_session() {
    given([started(1), refreshed(2), refreshed(3)])
        .when(refresh(1))
        .then_expect_events(vec![UserEvent::SessionEnded {
            session: session(1),
        }]);
}

#[test]
fn a_session_that_ended_cannot_be_refreshed() {
    given([
        started(1),
        UserEvent::SessionEnded {
            session: session(1),
        },
    ])
    .when(refresh(1))
    .then_expect_error(UserRefusal::SessionEnded);
}

#[test]
fn a_session_unused_for_30_days_ends() {
    let command = UserCommand::RefreshSession {
        session: session(1),
        counter: 1,
        at: at(11 + SESSION_LIFE_MICROSECONDS),
    };
    given([started(1)])
        .when(command)
        .then_expect_events(vec![UserEvent::SessionEnded {
            session: session(1),
        }]);
}

#[test]
fn the_eleventh_session_ends_the_one_used_longest_ago() {
    given((1..=10).map(started))
        .when(UserCommand::StartSession {
            session: session(11),
            at: at(10),
        })
        .then_expect_events(vec![
            UserEvent::SessionEnded {
                session: session(1),
            },
            started(11),
        ]);
}

#[test]
fn a_new_password_ends_every_other_session() {
    let mut user = User::default();
    let command = UserCommand::ChangePassword {
        password_hash: sealed("new"),
        keep: Some(session(2)),
    };
    for event in registered().iter().chain(&[started(1), started(2)]) {
        user.apply_event(event);
    }
    for event in user.decide(&command).unwrap() {
        user.apply_event(&event);
    }
    let left: Vec<_> = user
        .existing
        .unwrap()
        .sessions
        .iter()
        .map(|s| s.id)
        .collect();
    assert_eq!(left, [session(2)]);
}

#[test]
fn setting_the_same_role_changes_nothing() {
    given([])
        .when(UserCommand::SetRole {
            role: Role::Customer,
        })
        .then_expect_events(vec![]);
}
