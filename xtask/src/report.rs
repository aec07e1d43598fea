//! The table that a run prints.

use crate::measure::Cost;

/// One row: a command with its median cost.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) tool: &'static str,
    pub(crate) cost: Cost,
    pub(crate) syncs: u64,
}

/// The costs' median, taken by CPU time.
pub(crate) fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    costs[costs.len() / 2]
}

/// The rows as a Markdown table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| work | tool | CPU s | wall s | peak MiB | MB written | files | syncs |\n|---|---|---|---|---|---|---|---|\n",
    );
    for Row {
        name,
        tool,
        cost,
        syncs,
    } in rows
    {
        let (memory, bytes) = (cost.memory / 1024, cost.bytes / 1_000_000);
        out += &format!(
            "| {name} | {tool} | {:.2} | {:.2} | {memory} | {bytes} | {} | {syncs} |\n",
            cost.cpu, cost.wall, cost.files
        );
    }
    out
}
