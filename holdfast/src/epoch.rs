//! `holdfast epoch change`: a planned change of the epoch, beside running servers.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::extract::State;
use axum::http::StatusCode;
use command_api::commands::Commands;

use crate::embedded::control_socket;
use crate::settings::EpochChangeArgs;
use crate::write_side::WriteSide;
use crate::{keys, services};

/// What is given as the reason in logs and `/readyz`.
const WHY: &str = "the operator asked for a new epoch";

/// Changes the epoch: through the running server's socket when embedded, through Redis and Kafka
/// when distributed. This process is then one more node, which prepares the change and carries it
/// out; the others see it and follow.
///
/// # Errors
/// One sentence that says what to change.
pub(crate) async fn change(args: EpochChangeArgs) -> Result<()> {
    let data = &args.data.data;
    let said = match (&args.redis.redis, &args.kafka.kafka) {
        (None, None) => {
            let socket = control_socket(data);
            let client = reqwest::Client::builder().unix_socket(socket).build()?;
            let answer = client.post("http://localhost/epoch").send().await;
            let answer = answer.context(
                "no server runs on this data directory; a start changes the epoch by itself",
            )?;
            let (status, said) = (answer.status(), answer.text().await?);
            if status != StatusCode::OK {
                bail!("{said}")
            }
            said
        }
        (Some(_), Some(_)) => {
            if args.recovery.key_retention_hours.is_none() {
                bail!(
                    "--key-retention-hours is missing; give it as the servers have it, for older keys are forgotten"
                )
            }
            let secrets = keys::secrets(&args.keys, data)?;
            let gate = services::open_gate(&args.redis).await?;
            let log = services::open_log_to_look(&args.kafka).await?;
            let side = WriteSide::start(gate, log, &secrets, args.shop.currency, |settings| {
                args.recovery.tune(data, settings);
            });
            side.log_id().await?;
            let said = changed(&side.commands).await;
            side.finish(Duration::from_secs(5)).await;
            said.map_err(anyhow::Error::msg)?
        }
        _ => bail!("give --redis and --kafka together, or none of them for an embedded system"),
    };
    println!("{said}");
    Ok(())
}

async fn changed(commands: &Commands) -> Result<String, String> {
    let changed = commands.committer().keeper().change_epoch(WHY).await?;
    let (epoch, pause) = (changed.epoch, changed.pause.as_millis());
    Ok(format!(
        "Epoch {epoch} is open; commands waited for {pause} ms."
    ))
}

/// The same for the operator's socket.
pub(crate) async fn change_here(
    State(commands): State<Commands>,
) -> Result<String, (StatusCode, String)> {
    let unavailable = |why| (StatusCode::SERVICE_UNAVAILABLE, why);
    changed(&commands).await.map_err(unavailable)
}
