//! HTTP alone: the same load against a server that only checks the token.

use std::ffi::OsStr;

use anyhow::Result;

use crate::bench::bare::HELLO;
use crate::bench::figures::Figure;
use crate::bench::phases::{Phases, crowd};
use crate::bench::stage::Stage;
use crate::load::process::{Meter, Watched};
use crate::load::shop::get;

/// Starts the bare server and loads it as the phases load the real one.
///
/// # Errors
/// When it does not start.
pub(super) async fn alone(stage: &Stage, phases: &Phases) -> Result<Figure> {
    let key_file = stage.throwaway.path().join("jwt-key.pem");
    let arguments: [&OsStr; 3] = ["bench".as_ref(), "--bare-http".as_ref(), key_file.as_ref()];
    let server = stage.throwaway.start("bare-http", &arguments).await?;
    let call = get(HELLO)?.by(&phases.customers[0]);
    let call = move |_| call.clone();
    let (clients, duration) = (phases.connections, phases.duration / 2);
    crowd(&server.target, clients, duration / 2, call.clone()).await?;
    let watched: Vec<_> = server
        .watched()
        .into_iter()
        .chain([Watched::own("load")])
        .collect();
    let meter = Meter::start(&watched);
    let ran = crowd(&server.target, clients, duration, call).await?;
    let figure = Figure::of_crowd("HTTP alone (token checked, hello)", ran.tally.ended(), &ran);
    let figure = figure.costing(&meter.read());
    server.kill().await?;
    Ok(figure)
}
