//! Measured figures beside their bounds.

/// One figure and its bound.
#[derive(Debug, Clone)]
pub(crate) struct Measurement {
    /// What was measured.
    pub(crate) what: &'static str,
    /// What it must stay under.
    pub(crate) bound: f64,
    /// What it was.
    pub(crate) measured: f64,
    /// The unit of both.
    pub(crate) unit: &'static str,
    /// How it was measured, and what else was seen.
    pub(crate) remark: String,
}

impl Measurement {
    /// Whether the bound holds. A figure that is no number breaks it.
    pub(crate) fn is_met(&self) -> bool {
        self.measured < self.bound
    }
}

/// All measurements as a table that people read.
pub(crate) fn table(measurements: &[Measurement]) -> String {
    let width = measurements.iter().map(|one| one.what.len()).max().unwrap_or_default();
    let mut text = format!("\n{:width$}  {:>10}  {:>11}  {:6}  remarks", "", "bound", "measured", "met");
    for one in measurements {
        let (bound, measured) =
            (format!("{} {}", one.bound, one.unit), format!("{} {}", rounded(one.measured), one.unit));
        let met = if one.is_met() { "yes" } else { "BROKEN" };
        text += &format!("\n{:width$}  {bound:>10}  {measured:>11}  {met:6}  {}", one.what, one.remark);
    }
    text
}

/// Three digits that count, as text.
fn rounded(value: f64) -> String {
    let decimals = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(measured: f64) -> Measurement {
        Measurement { what: "idle sidecar", bound: 60.0, measured, unit: "MB", remark: "resident".to_owned() }
    }

    #[test]
    fn a_bound_is_broken_from_itself_on_and_by_what_is_no_number() {
        let met = [59.9, 60.0, f64::NAN].map(|measured| measurement(measured).is_met());
        assert_eq!(met, [true, false, false]);
    }

    #[test]
    fn the_table_says_what_is_broken() {
        let text = table(&[measurement(27.04), measurement(61.0)]);
        let lines: Vec<Vec<&str>> =
            text.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["idle", "sidecar", "60", "MB", "27.0", "MB", "yes", "resident"]);
        assert_eq!(lines[1], ["idle", "sidecar", "60", "MB", "61.0", "MB", "BROKEN", "resident"]);
    }
}
