//! The instructions themselves. Without a processor that has them only what finishes their sums is tested here.

use super::super::{Bfloat16, Bytes, Hardware};
use super::*;
use crate::instructions::Instructions;
use crate::vector::x86_512;

/// On emulated tiles, finished by the vectors that finish the real ones.
///
/// # Safety
/// As [`compute`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
unsafe fn finished_by_vectors(product: &Product, tiles: &mut Emulated) {
    // SAFETY: the caller's promise.
    unsafe { compute::<_, Bytes<x86_512::Int8>>(product, tiles) }
}

/// On the real tiles.
///
/// # Safety
/// As [`compute`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
unsafe fn bytes(product: &Product) {
    // SAFETY: the caller's promise.
    unsafe { compute::<_, Bytes<x86_512::Int8>>(product, &mut Hardware) }
}

/// As [`bytes`].
///
/// # Safety
/// As [`compute`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn bfloat16(product: &Product) {
    // SAFETY: the caller's promise.
    unsafe { compute::<_, Bfloat16<x86_512::Bfloat16>>(product, &mut Hardware) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn vectors_finish_sums_as_plain_rust_does(shape in shapes(), kind in super::bytes::kinds()) {
        if !Instructions::Avx512Vnni.is_supported() {
            return Ok(());
        }
        let operands = super::bytes::operands(shape, kind);
        let mut out = operands.before.clone();
        let product = operands.product(0, operands.shape.rows, &mut out);
        // SAFETY: the processor has the vectors, and the operands are of the product's shape.
        unsafe { finished_by_vectors(&product, &mut Emulated::new(&[&operands.rows, &operands.panels])) };
        prop_assert_eq!(out, operands.emulated::<super::bytes::Plain>());
    }

    #[test]
    fn instructions_do_what_stands_for_them(
        shape in shapes(),
        kind in super::bytes::kinds(),
        special in proptest::option::of(50usize..2000),
    ) {
        if !Instructions::Amx.is_supported() {
            return Ok(());
        }
        let operands = super::bytes::operands(shape.clone(), kind);
        let mut out = operands.before.clone();
        // SAFETY: the processor has the instructions, and the operands are of the product's shape.
        unsafe { bytes(&operands.product(0, shape.rows, &mut out)) };
        prop_assert_eq!(out, operands.emulated::<super::bytes::Plain>());
        let operands = super::bfloat16::operands(shape.clone(), 1.0, special);
        let mut out = operands.before.clone();
        // SAFETY: as above.
        unsafe { bfloat16(&operands.product(0, shape.rows, &mut out)) };
        let expected = operands.emulated::<super::bfloat16::Plain>();
        prop_assert!(out.iter().zip(&expected).all(|(out, expected)| same(*out, *expected)));
    }
}
