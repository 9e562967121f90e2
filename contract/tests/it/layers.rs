use std::sync::Arc;

use axum::Router;
use axum::body::{Body as HttpBody, Bytes};
use axum::http::Request;
use axum::routing::{get, post};
use contract::layers::{IMPORT_ROUTE, LayerSettings, around};
use contract::operations::{self, Operations, Part};
use contract::{Problem, RequestContext};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::Notify;

use crate::client::{Answer, request, send};

fn router() -> Router {
    Router::new()
        .route("/fine", get(async || "fine").post(async || "done"))
        .route(
            "/context",
            get(async |context: RequestContext| format!("{context:?}")),
        )
        .route(
            "/replayed",
            get(async || {
                (
                    [("idempotent-replayed", "true")],
                    Problem::already_cancelled(),
                )
            }),
        )
        .route("/gone", get(async || Problem::not_found("order")))
        .route(
            "/panics",
            get(async || -> &'static str { panic!("an inner matter") }),
        )
        .route(
            "/slow",
            get(std::future::pending::<()>).post(std::future::pending::<()>),
        )
        .route(
            "/length",
            post(async |bytes: Bytes| bytes.len().to_string()),
        )
        .route(
            IMPORT_ROUTE,
            post(async |bytes: Bytes| bytes.len().to_string()),
        )
}

async fn ask(settings: LayerSettings, request: Request<HttpBody>) -> Answer {
    send(&around(router(), settings), request).await
}

async fn get_path(path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(LayerSettings::default(), request("GET", path, headers)).await
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_a_sane_one_of_the_client_is_kept() {
    let made = get_path("/fine", &[]).await;
    assert_eq!(made.header("x-request-id").len(), 36);
    for sane in ["abc-123", "0190a6b2-0000-7000-8000-000000000000", "a.b:c_d"] {
        let answer = get_path("/nowhere", &[("x-request-id", sane)]).await;
        assert_eq!(answer.header("x-request-id"), sane);
    }
    for insane in ["", "a b", "<script>", &"x".repeat(129)] {
        let answer = get_path("/fine", &[("x-request-id", insane)]).await;
        assert_eq!(answer.header("x-request-id").len(), 36, "{insane}");
    }
}

#[tokio::test]
async fn a_trace_context_is_taken_when_it_is_one() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = get_path("/context", &[("traceparent", good)]).await;
    assert!(answer.text.contains(good));
    for bad in [
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "nonsense",
    ] {
        let answer = get_path("/context", &[("traceparent", bad)]).await;
        assert!(answer.text.contains("traceparent: None"), "{bad}");
    }
}

#[tokio::test]
async fn a_uuid_of_the_client_correlates_its_records() {
    let id = "0190a6b2-0000-7000-8000-000000000000";
    let answer = get_path("/context", &[("x-request-id", id)]).await;
    assert!(
        answer.text.contains(&format!("correlation_id: {id}")),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn an_unknown_path_and_method_are_problems() {
    let nowhere = get_path("/nowhere/at?all=1", &[]).await;
    assert_eq!(
        (nowhere.status.as_u16(), nowhere.code().as_str()),
        (404, "not-found")
    );
    assert_eq!(nowhere.json()["instance"], "/nowhere/at");
    let method = ask(LayerSettings::default(), request("DELETE", "/fine", &[])).await;
    assert_eq!(
        (method.status.as_u16(), method.code().as_str()),
        (405, "method-not-allowed")
    );
    assert_eq!(method.header("allow"), "GET,HEAD,POST");
}

#[tokio::test]
async fn a_problem_names_the_path_it_happened_at() {
    let answer = get_path("/gone", &[]).await;
    assert_eq!(answer.json()["instance"], "/gone");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn what_a_handler_says_beside_a_problem_stays() {
    let answer = get_path("/replayed", &[]).await;
    assert_eq!(answer.header("idempotent-replayed"), "true");
    assert_eq!(answer.code(), "already-cancelled");
    assert_eq!(answer.json()["instance"], "/replayed");
}

#[tokio::test]
async fn scanners_become_no_labels() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let router = around(
        router().route("/of/{id}", get(async || "one")),
        LayerSettings::default(),
    );
    for number in 0..300 {
        send(&router, request("GET", &format!("/wp-admin-{number}"), &[])).await;
        send(&router, request("GET", &format!("/of/{number}"), &[])).await;
        send(&router, request(&format!("BREW{number}"), "/fine", &[])).await;
    }
    let text = metrics.render();
    assert!(text.len() < 5_000, "{text}");
    assert!(
        text.contains(r#"method="GET",route="/of/{id}",status="200""#),
        "{text}"
    );
    assert!(
        text.contains(r#"method="GET",route="none",status="404""#),
        "{text}"
    );
    assert!(
        text.contains(r#"method="other",route="/fine",status="405""#),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_is_nobody_elses_unless_its_handler_says_so() {
    assert_eq!(
        get_path("/fine", &[]).await.header("cache-control"),
        "no-store"
    );
}

#[tokio::test]
async fn a_panic_is_a_500_that_shows_nothing() {
    let answer = get_path("/panics", &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (500, "internal")
    );
    assert!(!answer.text.contains("inner matter"), "{}", answer.text);
    assert!(answer.headers.contains_key("x-request-id"));
}

#[tokio::test(start_paused = true)]
async fn a_time_out_is_safe_to_retry_for_a_read_and_unknown_for_a_write() {
    let read = get_path("/slow", &[]).await;
    assert_eq!(
        (read.status.as_u16(), read.code().as_str()),
        (503, "unavailable")
    );
    let write = ask(LayerSettings::default(), request("POST", "/slow", &[])).await;
    assert_eq!(
        (write.status.as_u16(), write.code().as_str()),
        (503, "outcome-unknown")
    );
    assert_eq!(write.header("retry-after"), "1");
}

#[tokio::test]
async fn a_handler_runs_to_its_end_when_the_client_hangs_up() {
    let (reached, go_on, ended) = (
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
    );
    let (in_reached, in_go_on, in_ended) = (reached.clone(), go_on.clone(), ended.clone());
    let handler = async move || {
        in_reached.notify_one();
        in_go_on.notified().await;
        in_ended.notify_one();
    };
    let router = around(
        Router::new().route("/", post(handler)),
        LayerSettings::default(),
    );
    let client = tokio::spawn(async move { send(&router, request("POST", "/", &[])).await });
    reached.notified().await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    go_on.notify_one();
    ended.notified().await;
}

#[tokio::test]
async fn a_body_is_limited_and_that_of_an_import_is_longer() {
    let settings = LayerSettings {
        body_bytes_max: 10,
        import_bytes_max: 20,
        ..LayerSettings::default()
    };
    let length = async |path: &str, bytes: usize| {
        let body = HttpBody::from(vec![b'x'; bytes]);
        ask(settings.clone(), Request::post(path).body(body).unwrap())
            .await
            .status
            .as_u16()
    };
    assert_eq!(length("/length", 10).await, 200);
    assert_eq!(length("/length", 11).await, 413);
    assert_eq!(length(IMPORT_ROUTE, 20).await, 200);
    assert_eq!(length(IMPORT_ROUTE, 21).await, 413);
}

#[tokio::test]
async fn cors_answers_every_preflight_and_lets_scripts_read_our_headers() {
    let origin = "https://shop.example";
    let settings = LayerSettings {
        cors_origins: vec![origin.parse().unwrap()],
        ..LayerSettings::default()
    };
    for path in ["/fine", "/nowhere", IMPORT_ROUTE] {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "idempotency-key"),
        ];
        let answer = ask(settings.clone(), request("OPTIONS", path, &headers)).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert!(
            answer
                .header("access-control-allow-headers")
                .contains("idempotency-key")
        );
    }
    let answer = ask(
        settings.clone(),
        request("GET", "/gone", &[("origin", origin)]),
    )
    .await;
    let exposed = answer.header("access-control-expose-headers");
    for name in [
        "consistency-token",
        "idempotent-replayed",
        "location",
        "retry-after",
        "x-request-id",
    ] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let foreign = [("origin", "https://other.example")];
    let answer = ask(settings, request("GET", "/fine", &foreign)).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let off = get_path("/fine", &[("origin", origin)]).await;
    assert_eq!(off.header("access-control-allow-origin"), "");
}

fn watched(parts: Vec<Part>) -> Router {
    let metrics = Arc::new(|| "metric 1\n".to_owned());
    let (router, _) = operations::routes(Operations { parts, metrics }).split_for_parts();
    around(router, LayerSettings::default())
}

#[tokio::test]
async fn a_role_is_ready_when_each_of_its_parts_is() {
    let good = || Part::new("log", async || Ok("one broker".to_owned()));
    let bad = || Part::new("gate", async || Err("Redis does not answer".to_owned()));
    let answer = send(&watched(vec![good()]), request("GET", "/readyz", &[])).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["parts"][0]["detail"], "one broker");

    let answer = send(
        &watched(vec![good(), bad()]),
        request("GET", "/readyz", &[]),
    )
    .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "not-ready")
    );
    assert_eq!(answer.json()["detail"], "Not ready yet: gate.");
    assert_eq!(answer.json()["parts"][1]["detail"], "Redis does not answer");
}

#[tokio::test]
async fn a_role_is_alive_and_measured_even_when_it_is_not_ready() {
    let router = watched(vec![Part::new("gate", async || Err("no".to_owned()))]);
    assert_eq!(
        send(&router, request("GET", "/healthz", &[])).await.status,
        200
    );
    assert_eq!(
        send(&router, request("GET", "/metrics", &[])).await.text,
        "metric 1\n"
    );
}
