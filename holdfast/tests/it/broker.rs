//! The broker is paused, killed or slow while orders are placed: no ghost order, no leaked stock,
//! and a retry with the same key has one effect. (T22, T23, T24, F8.)

use std::time::Duration;

use crate::harness::{
    Api, Client, Server, Services, System, alone, buy, customers, eventually, fresh_key,
};

async fn shop_on(kafka: &Server) -> System {
    let shared = Services::shared().await;
    System::distributed_on(Services {
        kafka: kafka.address(),
        ..shared
    })
    .await
}

/// Twenty of thirty buyers are decided while nothing can be written; whatever happens then,
/// exactly these twenty orders come to stand.
async fn twenty_orders_are_decided_while_the_broker_is_paused_and_then(
    next: impl AsyncFnOnce(&mut System, &mut Server),
) {
    let _alone = alone().await;
    let mut kafka = Server::kafka().await;
    let mut system = shop_on(&kafka).await;
    let (admin, customers) = (system.admin().await, customers(&system).await);
    let impatient: Vec<_> = customers.iter().map(Client::impatient).collect();
    admin.stock("LAMP", 20).await;

    kafka.pause();
    let buying = buy(&impatient, 30, "LAMP");
    eventually("the gate has decided", async || {
        (admin.left_in_gate("LAMP").await == 0).then_some(())
    })
    .await;
    let before = system.api.writes_sent();
    eventually("those who wait have asked again", async || {
        (system.api.writes_sent() > before + 40).then_some(())
    })
    .await;
    next(&mut system, &mut kafka).await;

    let placed = buying.placed().await;
    assert_eq!(placed.len(), 20, "one order per unit");
    assert_eq!(admin.left_in_gate("LAMP").await, 0);
    system.shows(&admin, "LAMP", 0, 20).await;
    assert_eq!(
        placed,
        admin.all_orders().await,
        "every 201 is there, and nothing else"
    );
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t24_a_paused_broker_goes_on_and_every_retry_has_one_effect() {
    twenty_orders_are_decided_while_the_broker_is_paused_and_then(async |_, kafka| {
        kafka.go_on();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t23_a_broker_killed_before_it_took_the_orders_takes_them_after_its_restart() {
    twenty_orders_are_decided_while_the_broker_is_paused_and_then(async |_, kafka| {
        kafka.kill();
        kafka.restart().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t22_a_node_killed_with_orders_in_its_hands_loses_none_to_those_who_ask_again() {
    twenty_orders_are_decided_while_the_broker_is_paused_and_then(async |system, kafka| {
        system.command_apis[0].kill().await;
        system.command_apis.remove(0);
        system.publish();
        kafka.go_on();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t22_an_order_whose_node_was_killed_after_the_decision_is_completed_by_another() {
    let _alone = alone().await;
    let kafka = Server::kafka().await;
    let mut system = shop_on(&kafka).await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 5).await;
    let key = fresh_key();

    kafka.pause();
    let first = Api::default();
    let address = system.command_apis[0].address().to_owned();
    first.set(vec![address.clone()], address);
    let call = kim.moved_to(&first).order_call(&key, "LAMP", 2);
    let lost = tokio::spawn(call.send());
    eventually("the gate has decided", async || {
        (admin.left_in_gate("LAMP").await == 3).then_some(())
    })
    .await;
    system.command_apis[0].kill().await;
    // Nothing, or on a slow machine that it is not known.
    let told = lost.await.unwrap();
    let nothing = told.as_ref().map_or(true, |answer| answer.status() == 503);
    assert!(nothing, "{told:?}");
    system.command_apis.remove(0);
    system.publish();
    kafka.go_on();

    // Nobody asks again, and still the stock is not held by nobody.
    system.shows(&admin, "LAMP", 3, 2).await;
    let [order] = &admin.all_orders().await[..] else {
        panic!("exactly one order stands")
    };
    let again = kim.order_until_known(&key, "LAMP", 2).await.is(201);
    assert!(again.replayed && again.id() == *order, "{again:?}");
    assert_eq!(admin.left_in_gate("LAMP").await, 3);
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t24_a_slow_broker_sells_exactly_the_stock() {
    let _alone = alone().await;
    let kafka = Server::kafka().await;
    let system = shop_on(&kafka).await;
    let (admin, customers) = (system.admin().await, customers(&system).await);
    admin.stock("LAMP", 50).await;
    let stuttering = async {
        let mut turns = tokio::time::interval(Duration::from_millis(150));
        loop {
            turns.tick().await;
            kafka.pause();
            turns.tick().await;
            kafka.go_on();
        }
    };
    let placed = tokio::select! {
        placed = buy(&customers, 150, "LAMP").placed() => placed,
        () = stuttering => unreachable!("it goes on for ever"),
    };
    kafka.go_on();
    assert_eq!(placed.len(), 50, "one order per unit");
    system.shows(&admin, "LAMP", 0, 50).await;
    assert_eq!(
        placed,
        admin.all_orders().await,
        "every 201 is there, and nothing else"
    );
    system.agrees().await;
}
