//! Kubernetes quantities as whole numbers of bytes.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// The schema of a quantity where there may be many: a text of bounded length. Kubernetes' own, a number or a text of any
/// length, makes the API server estimate rules over many of them as too expensive, and refuse the definition.
pub struct QuantityText;

impl JsonSchema for QuantityText {
    fn schema_name() -> Cow<'static, str> {
        "QuantityText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 32 })
    }
}

/// Why a quantity was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no amount of bytes: write a number with a unit, such as 8Gi or 500M")]
pub struct QuantityError {
    text: String,
}

/// Reads a quantity as bytes. A fraction of a byte is rounded up, as the API server does.
///
/// # Errors
/// [`QuantityError`] for what is not a quantity, is negative, or is over `i64::MAX` bytes.
pub fn bytes(quantity: &Quantity) -> Result<u64, QuantityError> {
    parse(&quantity.0).ok_or_else(|| QuantityError { text: quantity.0.chars().take(64).collect() })
}

/// Kubernetes' grammar: decimal digits with at most one point, then a binary suffix, a decimal suffix, or a decimal
/// exponent (apimachinery, `resource.Quantity`). `E` alone is exa, `E3` is an exponent.
fn parse(text: &str) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let number_length =
        text.find(|symbol: char| !symbol.is_ascii_digit() && symbol != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_length);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 30 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let decimals = u32::try_from(fraction.len()).ok()?;
    let (multiplier, divisor) = scale(suffix)?;
    let divisor = divisor.checked_mul(10_u128.checked_pow(decimals)?)?;
    let value = digits.checked_mul(multiplier)?.div_ceil(divisor);
    u64::try_from(value).ok().filter(|value| i64::try_from(*value).is_ok())
}

/// The factor that a suffix stands for, as a fraction.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let binary = |power: u32| Some((1_u128 << (10 * power), 1));
    let decimal = |power: u32| Some((10_u128.pow(power), 1));
    match suffix {
        "n" => Some((1, 1_000_000_000)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "" => Some((1, 1)),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            if exponent.unsigned_abs() > 18 {
                return None;
            }
            let power = 10_u128.pow(exponent.unsigned_abs());
            Some(if exponent < 0 { (1, power) } else { (power, 1) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_that_kubernetes_writes() {
        let cases: [(&str, Option<u64>); 18] = [
            ("0", Some(0)),
            ("8Gi", Some(8 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("500M", Some(500_000_000)),
            ("128974848", Some(128_974_848)),
            ("129e6", Some(129_000_000)),
            ("12E", None),
            ("1E", Some(1_000_000_000_000_000_000)),
            ("1E3", Some(1000)),
            ("128974848000m", Some(128_974_848)),
            ("1m", Some(1)),
            (".5Ki", Some(512)),
            ("", None),
            ("Gi", None),
            ("1gi", None),
            ("-1Gi", None),
            ("1.2.3", None),
            ("8Ei", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(&Quantity(text.to_owned())).ok(), expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = bytes(&Quantity(text));
        }

        #[test]
        fn whole_numbers_of_mebibytes_are_exact(mebibytes in 0_u64..1 << 40) {
            proptest::prop_assert_eq!(bytes(&Quantity(format!("{mebibytes}Mi"))).ok(), Some(mebibytes << 20));
        }
    }
}
