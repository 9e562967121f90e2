//! What clients ask about accounts, and what they hold against the answer.
//!
//! Addresses are few and wanted by many; each belongs to whoever is decided first, for good. The
//! password of an account follows from its address, so every client knows what should log in.

use anyhow::Result;
use command_api::commands::Outcome;
use command_api::commands::users::{UserError, UserNow};
use command_api::commit::Request;
use domain::email::Email;
use domain::ids::UserId;
use domain::text::{Name, Password};
use domain::user::Role;

use crate::books::{Answer, Made, Wish};
use crate::node::Node;
use crate::shop::invalid;

/// An address by its number.
///
/// # Errors
/// A mistake of the simulation.
pub fn email(number: usize) -> Result<Email> {
    Email::parse(&format!("person-{number}@example.com")).map_err(invalid)
}

/// The password of the account with this address.
fn password(number: usize) -> Result<Password> {
    Password::parse(&format!("the password of {number}")).map_err(invalid)
}

/// Asks a node once for something about an account; `None` where the wish is about none.
///
/// # Errors
/// When the wish itself is malformed, which is a mistake of the simulation.
pub(crate) async fn ask(node: &Node, request: Request, wish: &Wish) -> Result<Option<Answer>> {
    let commands = &node.commands;
    Ok(Some(match wish.clone() {
        Wish::Register { address } => {
            let name = format!("Person {address}");
            let (email, named) = (email(address)?, Name::parse(&name).map_err(invalid)?);
            let password = password(address)?;
            let registered =
                commands.register(request, email.clone(), named, password, Role::Customer);
            let fits = |user: &UserNow| {
                let fits = user.email.as_deref() == Some(email.as_str());
                fits && user.name.as_deref() == Some(&name) && user.role == Role::Customer
            };
            answer(registered.await.map(|(outcome, _)| outcome), fits)
        }
        Wish::Rename { user, name } => {
            let named = Name::parse(&name).map_err(invalid)?;
            let renamed = commands.rename(request, user, named);
            let fits = |now: &UserNow| now.id == user && now.name.as_deref() == Some(&name);
            answer(renamed.await, fits)
        }
        Wish::SetRole { user, role } => {
            let changed = commands.set_role(request, user, role);
            answer(changed.await, |now| now.id == user && now.role == role)
        }
        Wish::LogIn { address } => {
            let logged_in = commands.log_in(request, email(address)?, password(address)?);
            match logged_in.await {
                Ok(outcome) => Answer::Done {
                    position: outcome.position,
                    made: Made::User(outcome.value.user_id),
                },
                Err(error) => failed(error),
            }
        }
        _ => return Ok(None),
    }))
}

fn answer(
    answered: Result<Outcome<UserNow>, UserError>,
    fits: impl Fn(&UserNow) -> bool,
) -> Answer {
    match answered {
        Ok(outcome) if fits(&outcome.value) => Answer::Done {
            position: outcome.position,
            made: Made::User(outcome.value.id),
        },
        Ok(outcome) => Answer::Wrong(format!("{:?}", outcome.value)),
        Err(error) => failed(error),
    }
}

fn failed(error: UserError) -> Answer {
    match error {
        UserError::InvalidCredentials => Answer::InvalidCredentials,
        UserError::Commit(error) => Answer::of(error),
    }
}

/// Of whom a user's wish is, where it is one's.
pub(crate) fn user(wish: &Wish) -> Option<UserId> {
    match wish {
        Wish::Rename { user, .. } | Wish::SetRole { user, .. } => Some(*user),
        _ => None,
    }
}
