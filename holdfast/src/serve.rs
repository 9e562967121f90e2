//! The roles: everything in one process, or one role each.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use command_api::gate::ENTRIES_PER_GENERATION;
use command_api::gate::memory::MemoryGate;
use command_api::http::{HttpSettings, Network};
use contract::operations::Part;
use contract::token::Audience;
use contract::{TokenSigner, TokenVerifier};
use event_log::EventLog;
use migrations::Database;
use personal_data::Secrets;
use projectors::{Projectors, ReadModels};
use query_api::{Api as QueryApi, KeySource};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Credentials, Operators};
use crate::api::{self, Served};
use crate::embedded::DataDirectory;
use crate::settings::{
    CommandApiArgs, HttpArgs, MysqlArgs, Place, ProjectorsArgs, QueryApiArgs, ServeArgs, place,
};
use crate::write_side::WriteSide;
use crate::{http, keys, services, telemetry};

/// Connections with which queries read an embedded system's file.
const EMBEDDED_READERS: u32 = 4;
/// Tasks that project an embedded system's log: SQLite has one writer.
pub(crate) const EMBEDDED_PROJECTOR_TASKS: usize = 1;
/// Tasks that project Kafka's partitions; two connections are what MySQL gains from.
pub(crate) const PROJECTOR_TASKS: usize = 2;
/// How long what is under way may take after the last request was answered.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Everything in one process.
///
/// # Errors
/// One sentence that says what stops the start.
pub(crate) async fn serve(args: ServeArgs) -> Result<()> {
    match place(&args.redis, &args.kafka, &args.mysql)? {
        Place::Embedded => serve_embedded(args).await,
        Place::Services => serve_on_services(args).await,
    }
}

async fn serve_embedded(args: ServeArgs) -> Result<()> {
    let listener = http::listen(args.http.listen)?;
    let directory = DataDirectory::lock(&args.data.data)?;
    let secrets = keys::secrets(&args.keys, &args.data.data)?;
    let log = directory.open_log()?;
    let gate = Arc::new(MemoryGate::new(ENTRIES_PER_GENERATION));
    // There is no other node to wait for: a claim without an opening was this directory's own.
    let write_side = WriteSide::start(gate, log, &secrets, args.shop.currency, |settings| {
        settings.sign_of_life_wait = Duration::ZERO;
        settings.claim_backoff = Duration::ZERO;
        settings.settle_linger = Duration::ZERO;
        args.recovery.tune(&args.data.data, settings);
    });
    let writer = Database::sqlite_writer(&directory.read_models());
    let reader = Database::sqlite_reader(&directory.read_models(), EMBEDDED_READERS);
    let stores = Stores {
        writer,
        reader,
        tasks: EMBEDDED_PROJECTOR_TASKS,
    };
    let whole = Whole {
        args,
        listener,
        secrets,
        write_side,
        stores,
    };
    whole.run(Some(&directory)).await
}

async fn serve_on_services(args: ServeArgs) -> Result<()> {
    let listener = http::listen(args.http.listen)?;
    let secrets = keys::secrets(&args.keys, &args.data.data)?;
    let gate = services::open_gate(&args.redis).await?;
    let log = services::open_log(&args.kafka).await?;
    let database = mysql(&args.mysql)?;
    let tune = |settings: &mut _| args.recovery.tune(&args.data.data, settings);
    let write_side = WriteSide::start(gate, log, &secrets, args.shop.currency, tune)
        .noting(services::log_note(&args.kafka));
    let stores = Stores {
        writer: database.clone(),
        reader: database,
        tasks: PROJECTOR_TASKS,
    };
    let whole = Whole {
        args,
        listener,
        secrets,
        write_side,
        stores,
    };
    whole.run(None).await
}

/// Where the read models are written and read.
struct Stores {
    writer: Database,
    reader: Database,
    tasks: usize,
}

/// All roles in one process.
struct Whole {
    args: ServeArgs,
    listener: TcpListener,
    secrets: Arc<Secrets>,
    write_side: WriteSide,
    stores: Stores,
}

impl Whole {
    async fn run(self, directory: Option<&DataDirectory>) -> Result<()> {
        let Self {
            args,
            listener,
            secrets,
            write_side,
            stores,
        } = self;
        let metrics = telemetry::collect_metrics()?;
        let stopping = CancellationToken::new();
        http::stop_on_signals(stopping.clone())?;
        let has_begun = unless_stopped(&stopping, write_side.log_id()).await?;
        if has_begun.is_none() {
            return Ok(());
        }
        let (signer, verifier) = signing(&args.keys, &args.data.data)?;
        let projecting = CancellationToken::new();
        let read_models = ReadModels::new(stores.writer);
        let projectors = Arc::new(start_projectors(
            &write_side.log,
            read_models.clone(),
            stores.tasks,
            &projecting,
        ));
        if let Some(directory) = directory {
            let socket = directory.control_socket();
            let operators = Operators {
                commands: write_side.commands.clone(),
                log: Arc::clone(&write_side.log),
                read_models,
            };
            admin::serve_socket(&socket, operators, stopping.clone())?;
        }
        let queries = QueryApi::new(
            query_api::read_model::ReadModels::new(stores.reader),
            verifier.clone(),
            (*secrets).clone(),
        );
        let mut parts = write_side.parts();
        parts.extend(queries.parts());
        parts.push(projectors_part(&projectors));
        let commands = command_routes(&write_side, signer, &verifier, &args.http);
        let served = Served {
            routes: vec![commands, queries.routes()],
            verifier: Some(verifier),
            parts,
            metrics,
        };
        let router = api::router(served, &args.http)?;
        let email = args.admin.admin_email.as_deref();
        let Some(credentials) = first_admin(&stopping, &write_side, email).await? else {
            return Ok(());
        };
        let place = if directory.is_some() {
            format!("embedded, data in {}", args.data.data.display())
        } else {
            "on Redis, Kafka and MySQL".to_owned()
        };
        announce(&listener, &place, credentials.as_ref())?;
        http::serve(listener, router, &args.http, stopping).await?;
        write_side.finish(FINISH_WITHIN).await;
        stop_projectors(projectors, &projecting).await;
        Ok(())
    }
}

/// The write side alone.
///
/// # Errors
/// One sentence that says what stops the start.
pub(crate) async fn command_api(args: CommandApiArgs) -> Result<()> {
    let listener = http::listen(args.http.listen)?;
    let secrets = keys::secrets(&args.keys, &args.data.data)?;
    let gate = services::open_gate(&args.redis).await?;
    let log = services::open_log(&args.kafka).await?;
    let metrics = telemetry::collect_metrics()?;
    let stopping = CancellationToken::new();
    http::stop_on_signals(stopping.clone())?;
    let tune = |settings: &mut _| args.recovery.tune(&args.data.data, settings);
    let write_side = WriteSide::start(gate, log, &secrets, args.shop.currency, tune)
        .noting(services::log_note(&args.kafka));
    let has_begun = unless_stopped(&stopping, write_side.log_id()).await?;
    if has_begun.is_none() {
        return Ok(());
    }
    let (signer, verifier) = signing(&args.keys, &args.data.data)?;
    let routes = vec![command_routes(&write_side, signer, &verifier, &args.http)];
    let parts = write_side.parts();
    let served = Served {
        routes,
        verifier: Some(verifier),
        parts,
        metrics,
    };
    let router = api::router(served, &args.http)?;
    let email = args.admin.admin_email.as_deref();
    let Some(credentials) = first_admin(&stopping, &write_side, email).await? else {
        return Ok(());
    };
    announce(&listener, "command-api", credentials.as_ref())?;
    http::serve(listener, router, &args.http, stopping).await?;
    write_side.finish(FINISH_WITHIN).await;
    Ok(())
}

/// The projectors alone.
///
/// # Errors
/// One sentence that says what stops the start.
pub(crate) async fn projectors(args: ProjectorsArgs) -> Result<()> {
    let listener = http::listen(args.http.listen)?;
    let log = services::open_log(&args.kafka).await?;
    let metrics = telemetry::collect_metrics()?;
    let stopping = CancellationToken::new();
    http::stop_on_signals(stopping.clone())?;
    let projecting = CancellationToken::new();
    let database = mysql(&args.mysql)?;
    let projectors = Arc::new(start_projectors(
        &log,
        ReadModels::new(database.clone()),
        PROJECTOR_TASKS,
        &projecting,
    ));
    // Projectors that have nothing to do would not notice that their database is gone.
    let database = api::probed("database", "answers", move || {
        let database = database.clone();
        async move { database.select_unprepared("SELECT 1").await.map(drop) }
    });
    let parts = vec![projectors_part(&projectors), database];
    let served = Served {
        routes: vec![],
        verifier: None,
        parts,
        metrics,
    };
    let router = api::router(served, &args.http)?;
    announce(&listener, "projectors", None)?;
    http::serve(listener, router, &args.http, stopping).await?;
    stop_projectors(projectors, &projecting).await;
    Ok(())
}

/// The read side alone.
///
/// # Errors
/// One sentence that says what stops the start.
pub(crate) async fn query_api(args: QueryApiArgs) -> Result<()> {
    let listener = http::listen(args.http.listen)?;
    let secrets = keys::secrets(&args.keys, &args.data.data)?;
    let metrics = telemetry::collect_metrics()?;
    let stopping = CancellationToken::new();
    http::stop_on_signals(stopping.clone())?;
    let verifier = match &args.jwks_url {
        Some(url) => {
            let verifier = TokenVerifier::with_fetched_keys(&Audience::default());
            tokio::spawn(KeySource::new(url, verifier.clone())?.keep());
            verifier
        }
        None if args.keys.jwt_public_key_file.is_empty() => {
            keys::verifier(&args.keys, &keys::signer(&args.keys, &args.data.data)?)?
        }
        None => keys::public_verifier(&args.keys)?,
    };
    let read_models = query_api::read_model::ReadModels::new(mysql(&args.mysql)?);
    let queries = QueryApi::new(read_models, verifier.clone(), (*secrets).clone());
    let (routes, parts) = (vec![queries.routes()], queries.parts());
    let served = Served {
        routes,
        verifier: Some(verifier),
        parts,
        metrics,
    };
    let router = api::router(served, &args.http)?;
    announce(&listener, "query-api", None)?;
    http::serve(listener, router, &args.http, stopping).await
}

/// Part of a start; `None` where a signal came first: the log may be waited for for minutes.
async fn unless_stopped<T>(
    stopping: &CancellationToken,
    work: impl Future<Output = Result<T>>,
) -> Result<Option<T>> {
    stopping.run_until_cancelled(work).await.transpose()
}

/// Makes the first administrator where nobody has registered; `None` where a signal came before that
/// was known. Then it is not broken off: nobody would ever hear the password.
async fn first_admin(
    stopping: &CancellationToken,
    write_side: &WriteSide,
    email: Option<&str>,
) -> Result<Option<Option<Credentials>>> {
    let registered = admin::anybody_has_registered(&*write_side.log);
    Ok(match unless_stopped(stopping, registered).await? {
        None => None,
        Some(true) => Some(None),
        Some(false) => Some(admin::first_admin(&write_side.commands, email).await?),
    })
}

fn signing(args: &crate::settings::KeyArgs, data: &Path) -> Result<(TokenSigner, TokenVerifier)> {
    let signer = keys::signer(args, data)?;
    let verifier = keys::verifier(args, &signer)?;
    Ok((signer, verifier))
}

fn command_routes(
    write_side: &WriteSide,
    signer: TokenSigner,
    verifier: &TokenVerifier,
    http: &HttpArgs,
) -> utoipa_axum::router::OpenApiRouter {
    let settings = HttpSettings {
        trusted_proxies: http
            .trusted_proxies
            .iter()
            .copied()
            .map(Network::from)
            .collect(),
        ..HttpSettings::default()
    };
    let commands = write_side.commands.clone();
    let api = command_api::http::Api::new(commands, signer, verifier.clone(), settings);
    command_api::http::routes(api)
}

fn mysql(args: &MysqlArgs) -> Result<Database> {
    let Some(url) = &args.mysql else {
        bail!("--mysql is missing; give the URL of a MySQL 8.4 or MariaDB 10.11 or later")
    };
    Database::mysql(url.reveal(), args.mysql_connections).context(
        "--mysql cannot be used; percent-encode the characters @ : / ? # % of the password",
    )
}

fn start_projectors(
    log: &Arc<dyn EventLog>,
    read_models: ReadModels,
    tasks: usize,
    stopping: &CancellationToken,
) -> Projectors {
    Projectors::start(Arc::clone(log), read_models, tasks, stopping.clone())
}

/// What `/readyz` says of the projectors: how far behind each partition is, and why it stands.
fn projectors_part(projectors: &Arc<Projectors>) -> Part {
    let projectors = Arc::clone(projectors);
    Part::new("projectors", move || {
        let projectors = Arc::clone(&projectors);
        async move {
            let status = projectors.status().await;
            if let Some(stopped) = status.iter().find(|status| status.error.is_some()) {
                let why = stopped.error.clone().unwrap_or_default();
                return Err(format!("{}: {why}", stopped.partition));
            }
            match status
                .iter()
                .map(|status| status.lag())
                .sum::<Option<u64>>()
            {
                Some(lag) => Ok(format!("{lag} records behind")),
                None => Err("they do not know yet how far behind they are".to_owned()),
            }
        }
    })
}

async fn stop_projectors(projectors: Arc<Projectors>, projecting: &CancellationToken) {
    projecting.cancel();
    if let Some(projectors) = Arc::into_inner(projectors) {
        projectors.stop().await;
    }
}

/// Says on stdout where the role listens, and the first administrator's credentials, once.
fn announce(listener: &TcpListener, place: &str, credentials: Option<&Credentials>) -> Result<()> {
    let address = listener.local_addr()?;
    println!("Holdfast is listening on http://{address} ({place}); docs: http://{address}/docs");
    if let Some(Credentials { email, password }) = credentials {
        println!("The first administrator was made; this is shown once:");
        println!("  e-mail    {email}");
        println!("  password  {password}");
    }
    Ok(())
}
