//! Settings that cannot work stop the start with one sentence, and never show a secret.
//! (R36, R37, R41, R57.)

use std::net::TcpListener;
use std::path::Path;

use crate::harness::servers::free_port;
use crate::harness::{Ended, Node, Server, Services, System, holdfast, run, run_with};

/// Stands where a password does.
const MARK: &str = "marked-secret";

/// Runs `serve` in this directory, which is expected to refuse.
async fn serve(data: &Path, arguments: &[&str]) -> Ended {
    let mut command = holdfast();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(data).args(arguments);
    run_with(command, "").await
}

/// An address where nothing listens.
fn nowhere() -> String {
    format!("127.0.0.1:{}", free_port())
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = data.path().to_str().unwrap();
    let ended = run(&["serve", "--data", directory, "--listen", &address]).await;
    let sentence = ended.refused();
    assert!(
        sentence.contains(&format!("{address} is taken")),
        "{sentence}"
    );
    assert!(
        sentence.contains("--listen"),
        "it says what to do: {sentence}"
    );
    assert!(
        data.path().read_dir().unwrap().next().is_none(),
        "nothing was made"
    );
}

#[tokio::test]
async fn the_services_that_are_missing_are_named() {
    let data = tempfile::tempdir().unwrap();
    for (given, missing) in [
        (
            &["--redis", "redis://h"][..],
            "--kafka and --mysql are missing",
        ),
        (
            &["--redis", "redis://h", "--kafka", "h:1"],
            "--mysql is missing",
        ),
        (
            &["--mysql", "mysql://h/d"],
            "--redis and --kafka are missing",
        ),
        (&["--kafka-single-broker"], "without --kafka"),
    ] {
        let ended = serve(data.path(), given).await;
        assert!(ended.refused().contains(missing), "{ended:?}");
    }
}

#[tokio::test]
async fn a_role_says_which_service_it_lacks() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    for (role, missing) in [
        (&["command-api", "--data", data][..], "--redis is missing"),
        (&["projectors"], "--kafka is missing"),
        (&["query-api", "--data", data], "--mysql is missing"),
    ] {
        let arguments = [role, &["--listen", "127.0.0.1:0"]].concat();
        let ended = run(&arguments).await;
        assert!(ended.refused().contains(missing), "{ended:?}");
    }
}

#[tokio::test]
async fn r37_a_service_that_is_not_there_is_named_without_its_password() {
    let data = tempfile::tempdir().unwrap();
    let shared = Services::shared().await;
    let with_secret =
        |scheme: &str, path: &str| format!("{scheme}://user:{MARK}@{}{path}", nowhere());
    let no_redis = Services {
        redis: with_secret("redis", ""),
        ..shared.clone()
    };
    let no_kafka = Services {
        kafka: nowhere(),
        mysql: with_secret("mysql", "/shop"),
        ..shared
    };
    let both = [(no_redis, "Redis"), (no_kafka, "Kafka")];
    for (services, name) in both {
        let arguments = services.all_arguments();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let ended = serve(data.path(), &arguments).await;
        assert!(ended.refused().contains(name), "{ended:?}");
        assert!(!ended.stderr.contains(MARK), "{ended:?}");
    }
}

#[tokio::test]
async fn r37_a_url_that_cannot_be_read_is_refused_without_showing_it() {
    let data = tempfile::tempdir().unwrap();
    let password = format!("{MARK}/#?%41:");
    for (redis, mysql) in [
        (
            format!("redis://:{password}@127.0.0.1:1"),
            "mysql://127.0.0.1/shop".to_owned(),
        ),
        (
            "redis://127.0.0.1:1".to_owned(),
            format!("mysql://u:{password}@127.0.0.1/shop"),
        ),
    ] {
        let given = ["--redis", &redis, "--kafka", &nowhere(), "--mysql", &mysql];
        let ended = serve(data.path(), &given).await;
        ended.refused();
        assert!(!ended.stderr.contains(MARK), "{ended:?}");
    }
}

#[tokio::test]
async fn r57_an_unknown_currency_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let ended = serve(data.path(), &["--currency", "EURO"]).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--currency"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r57_a_shop_of_another_currency_does_not_start_and_keeps_its_own() {
    let mut system = System::embedded().await;
    let admin = system.admin().await;
    admin.stock("LAMP", 5).await;
    let order = admin.order("LAMP", 1).await.is(201);
    system.command_apis[0].kill().await;
    let ended = serve(system.data(), &["--currency", "JPY"]).await;
    let sentence = ended.refused();
    assert!(
        sentence.contains("EUR") && sentence.contains("JPY"),
        "{sentence}"
    );
    system.restart_command_apis().await;
    let read = admin
        .get(&format!("/v1/orders/{}", order.id()), &order.token)
        .await
        .is(200);
    assert_eq!(read.body["total"], order.body["total"]);
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_of_another_shop_do_not_open_this_one() {
    let (mut system, other) = tokio::join!(System::embedded(), System::embedded());
    system.command_apis[0].kill().await;
    let file = other.data().join("secrets.json");
    let ended = serve(system.data(), &["--secrets-file", file.to_str().unwrap()]).await;
    assert!(ended.refused().contains("secrets"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r41_an_empty_variable_is_an_unset_one() {
    let system = System::embedded_with(&[
        ("HOLDFAST_REDIS", ""),
        ("HOLDFAST_KAFKA", ""),
        ("HOLDFAST_KAFKA_SINGLE_BROKER", ""),
        ("HOLDFAST_MYSQL", ""),
        ("HOLDFAST_CURRENCY", ""),
        ("HOLDFAST_SECRETS_FILE", ""),
    ])
    .await;
    system.admin().await.stock("LAMP", 1).await;
}

/// Every subcommand, as `--help` lists them.
async fn subcommands() -> Vec<Vec<String>> {
    let help = run(&["--help"]).await.succeeded().stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let is_name = line.starts_with("  ") && !line.starts_with("   ");
            is_name.then(|| line.split_whitespace().next().unwrap().to_owned())
        });
    let mut all: Vec<_> = names.map(|name| vec![name]).collect();
    assert!(all.len() >= 10, "{help}");
    all.retain(|names| names != &["help"]);
    all.push(vec!["user".to_owned(), "create".to_owned()]);
    all.push(vec!["epoch".to_owned(), "change".to_owned()]);
    all.push(vec![]);
    all
}

#[tokio::test]
async fn r36_a_secret_of_the_surroundings_is_never_printed() {
    let url = |scheme: &str| format!("{scheme}://u:{MARK}@127.0.0.1:1/1");
    for subcommand in subcommands().await {
        for flag in ["--help", "-h", "--no-such-flag"] {
            let mut command = holdfast();
            command.args(&subcommand).arg(flag);
            command.env("HOLDFAST_REDIS", url("redis"));
            command.env("HOLDFAST_MYSQL", url("mysql"));
            command.env("HOLDFAST_KAFKA", format!("{MARK}:1"));
            command.env("HOLDFAST_KAFKA_SETTINGS", format!("sasl.password={MARK}"));
            command.env("HOLDFAST_PASSWORD", MARK);
            command.env("HOLDFAST_ADMIN_PASSWORD", MARK);
            command.env("HOLDFAST_ADMIN_EMAIL", format!("{MARK}@shop.example"));
            let ended = run_with(command, "").await;
            assert_eq!(
                ended.status.success(),
                flag != "--no-such-flag",
                "{ended:?}"
            );
            let said = ended.stdout + &ended.stderr;
            assert!(!said.contains(MARK), "{subcommand:?} {flag}: {said}");
        }
    }
}

#[tokio::test]
async fn r36_contradictory_settings_do_not_show_them() {
    let data = tempfile::tempdir().unwrap();
    let redis = format!("redis://:{MARK}@127.0.0.1:1");
    let ended = serve(data.path(), &["--redis", &redis]).await;
    ended.refused();
    assert!(!ended.stderr.contains(MARK), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r37_a_password_of_any_characters_works_percent_encoded() {
    let redis = Server::redis().await;
    redis.command("CONFIG SET requirepass p@/#?%41:");
    let encoded = "p%40%2F%23%3F%2541%3A";
    let services = Services {
        redis: format!("redis://:{encoded}@{}", redis.address()),
        ..Services::shared().await
    };
    let data = tempfile::tempdir().unwrap();
    let mut arguments = vec!["serve".to_owned(), "--data".to_owned()];
    arguments.push(data.path().to_str().unwrap().to_owned());
    arguments.extend(services.all_arguments());
    let node = Node::start(&arguments).await;
    assert!(!node.said().contains(encoded), "{}", node.said());
}
