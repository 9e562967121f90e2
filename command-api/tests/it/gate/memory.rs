//! The contract, kept by the gate in memory.

use std::sync::Arc;

use command_api::gate::Gate;
use command_api::gate::memory::MemoryGate;

fn open(entries_per_generation: u64) -> Arc<dyn Gate> {
    Arc::new(MemoryGate::new(entries_per_generation))
}

command_api::conformance_of_gate!(open);
