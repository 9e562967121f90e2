//! F11: programs of different versions side by side. That of one number of the gate's interface
//! recovers nothing that one of a higher number has claimed; programs of one number replace each
//! other one by one.

use record::epochs::{EpochEntry, GATE_INTERFACE};
use uuid::Uuid;

use super::Row;
use crate::checks::Asked;
use crate::load::HOT;
use crate::redis::ask;
use crate::scene::{Afterwards, Scene};
use crate::shop::Role;

pub(super) const ROWS: &[Row] = &[
    row!(
        "F11.a",
        "every process replaced, one after the other",
        f11_replaced_one_by_one
    ),
    row!(
        "F11.b",
        "a newer gate interface was claimed: older nodes recover nothing",
        f11_newer_interface
    ),
];

async fn f11_replaced_one_by_one(scene: &mut Scene<'_>) {
    scene.begins();
    let roles = [
        Role::CommandApi(0),
        Role::Projectors(0),
        Role::QueryApi,
        Role::Projectors(1),
        Role::CommandApi(1),
    ];
    for role in roles {
        scene.shop.node(role).signal("-TERM");
        scene.shop.node(role).ended().await;
        scene.shop.restart(role).await;
        scene.load.accepts(5).await;
    }
    scene.is_over();
}

/// The claim is the newer program's; it is forged, for there is no such program yet.
async fn f11_newer_interface(scene: &mut Scene<'_>) {
    scene.begins();
    let first = EpochEntry::decode(&scene.first_of("epochs").await).unwrap();
    let EpochEntry::Claim {
        layout, shop, base, ..
    } = first
    else {
        panic!("the first entry is a claim: {first:?}")
    };
    let claim = EpochEntry::Claim {
        id: Uuid::now_v7(),
        interface: GATE_INTERFACE + 1,
        layout,
        shop,
        base,
        node: Uuid::now_v7(),
    };
    scene.forge("epochs", 0, "epochs", &claim.encode()).await;
    let before = fences(scene).await;
    ask(&scene.shop.redis[0], &["FLUSHALL"]).await;
    for role in [Role::CommandApi(0), Role::CommandApi(1)] {
        scene.shop.unready(role, "interface").await;
    }
    let answer = scene.load.customers[0].order_once(HOT, 1).await;
    scene.expect(answer.status == 503, &format!("it was answered {answer:?}"));
    let after = fences(scene).await;
    scene.expect(
        before == after,
        &format!("it fenced: {before}, then {after}"),
    );
    scene.afterwards = Afterwards::Log;
}

/// What the audit counts of fences.
async fn fences(scene: &Scene<'_>) -> String {
    let audit = scene.shop.tool("audit").await.stdout;
    let counted = audit
        .lines()
        .find_map(|line| line.split("duplicates, ").nth(1));
    counted.expect("the audit counts fences").to_owned()
}
