//! The gate's figures against the log's, while the gate is quiet: nothing decided that is not in
//! the log, nothing in the log that is not settled.

use fnv::FnvHashSet;

use crate::checks::Check;
use crate::evidence::GateItem;
use crate::report::Findings;
use crate::stock::Stock;

pub(crate) fn compare(items: &[GateItem], stock: &Stock, findings: &mut Findings) {
    for item in items {
        findings.looked(Check::Gate);
        let about = format!("sku {}", item.sku);
        let Some(folded) = stock.get(&item.sku).filter(|item| item.created.is_some()) else {
            let found = "The gate sells it, but no record creates it.";
            findings.broken(Check::Gate, about, None, found);
            continue;
        };
        let log = (folded.available(), folded.supplied());
        if log != (i128::from(item.available), i128::from(item.supplied)) {
            let found = format!(
                "The gate has {} available of {} supplied, the log {} of {}.",
                item.available, item.supplied, log.0, log.1
            );
            findings.broken(Check::Gate, about, None, found);
        }
    }
    let known: FnvHashSet<&str> = items.iter().map(|item| item.sku.as_str()).collect();
    for item in stock.iter().filter(|item| item.created.is_some()) {
        if !known.contains(item.sku.as_ref()) {
            findings.looked(Check::Gate);
            let found = "The log has it, but the gate takes it for an unknown SKU.";
            findings.broken(
                Check::Gate,
                format!("sku {}", item.sku),
                item.created,
                found,
            );
        }
    }
}
