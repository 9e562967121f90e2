//! `holdfast user create`: another user with a role, beside a running server or without one.

use std::sync::Arc;

use anyhow::{Result, bail};
use command_api::gate::ENTRIES_PER_GENERATION;
use command_api::gate::memory::MemoryGate;
use domain::user::Role;

use crate::admin::{NewUser, create_user, create_user_at, read_password};
use crate::embedded::{DataDirectory, control_socket};
use crate::settings::{RoleArg, UserCreateArgs};
use crate::write_side::WriteSide;
use crate::{keys, services};

/// Makes the user: through the running server's socket when embedded, through Redis and Kafka
/// when distributed, or alone in a data directory that no server uses.
///
/// # Errors
/// One sentence that says what to change.
pub(crate) async fn create(args: UserCreateArgs) -> Result<()> {
    let role = match args.role {
        RoleArg::Customer => Role::Customer,
        RoleArg::Staff => Role::Staff,
        RoleArg::Admin => Role::Admin,
    };
    let password = read_password()?;
    let user = NewUser {
        email: args.email.clone(),
        name: args.name.clone(),
        role,
        password,
    };
    let data = &args.data.data;
    match (&args.redis.redis, &args.kafka.kafka) {
        (None, None) => {
            if create_user_at(&control_socket(data), &user)
                .await?
                .is_none()
            {
                create_alone(&args, user).await?;
            }
        }
        (Some(_), Some(_)) => {
            let secrets = keys::secrets(&args.keys, data)?;
            let gate = services::open_gate(&args.redis).await?;
            let log = services::open_log(&args.kafka).await?;
            // Should Redis be empty, it is this process that rebuilds the gate, where it may.
            let side = WriteSide::start(gate, log, &secrets, args.shop.currency, |settings| {
                args.recovery.tune(data, settings);
            });
            create_and_finish(&side, user).await?;
        }
        _ => bail!("give --redis and --kafka together, or none of them for an embedded system"),
    }
    println!("{} was created.", args.email);
    Ok(())
}

async fn create_alone(args: &UserCreateArgs, user: NewUser) -> Result<()> {
    let directory = DataDirectory::lock(&args.data.data)?;
    let secrets = keys::secrets(&args.keys, &args.data.data)?;
    let gate = Arc::new(MemoryGate::new(ENTRIES_PER_GENERATION));
    let log = directory.open_log()?;
    let side = WriteSide::start(gate, log, &secrets, args.shop.currency, |settings| {
        settings.sign_of_life_wait = std::time::Duration::ZERO;
        settings.claim_backoff = std::time::Duration::ZERO;
        args.recovery.tune_alone(&args.data.data, settings);
    });
    create_and_finish(&side, user).await
}

async fn create_and_finish(side: &WriteSide, user: NewUser) -> Result<()> {
    side.log_id().await?;
    create_user(&side.commands, user).await?;
    side.finish(std::time::Duration::from_secs(5)).await;
    Ok(())
}
