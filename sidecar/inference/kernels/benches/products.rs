//! How fast products are: `cargo bench -p ostler-kernels -- [avx2 | avx512-bf16 | ...]`.
//!
//! Prints, for each shape and format, billions of operations a second on one thread (a multiplication and an addition
//! are two), medians. Peaks of the processor are measured by `make bench` in the same run as what is compared.
#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::hint::black_box;
use std::time::Instant;

use ostler_kernels::{
    Activation, AttentionScratch, Format, Inputs, Instructions, Kernels, KeyValues, LayerNorm, Linear,
    LinearShape, Rows, Team, Write,
};

/// Rows, inputs and outputs of products that occur in whisper-base and opus-mt.
const SHAPES: [(usize, usize, usize); 9] = [
    (96, 512, 512),
    (96, 512, 2048),
    (96, 2048, 512),
    (1, 512, 512),
    (1, 512, 2048),
    (1, 2048, 512),
    (1, 512, 51_865),
    (16, 512, 2048),
    (16, 512, 51_865),
];

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7919 % 2003) as f32 / 1001.5 - 1.0) * 0.1).collect()
}

/// The median seconds of a call, over a quarter of a second and at least five calls.
fn median(mut call: impl FnMut()) -> f64 {
    call();
    let (begin, mut seconds) = (Instant::now(), Vec::new());
    while seconds.len() < 5 || begin.elapsed().as_millis() < 250 {
        let start = Instant::now();
        call();
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn main() {
    let named = std::env::args().skip(1).find_map(|name| name.parse::<Instructions>().ok());
    let kernels = match Kernels::of(named.unwrap_or_else(Instructions::best)) {
        Ok(kernels) => kernels,
        Err(error) => return println!("{error}"),
    };
    println!("{kernels:?}, one thread");
    println!("{:>20} {:>10} {:>10} {:>10}", "rows,inputs,outputs", "float32", "bfloat16", "int8");
    for (rows, inputs, outputs) in SHAPES {
        let weights = numbers(inputs * outputs);
        let row = numbers(inputs);
        let rates = [Format::Float32, Format::Bfloat16, Format::Int8].map(|format| {
            let layer = Linear::new(kernels, format, outputs, inputs, &weights, None);
            let mut prepared = Inputs::new(rows, inputs);
            for place in layer.places(&mut prepared, rows) {
                place.set(&row);
            }
            let mut out = vec![0.0; rows * outputs];
            let seconds =
                median(|| layer.forward_here(&prepared, rows, black_box(&mut out), outputs, Write::Set));
            2.0 * (rows * inputs * outputs) as f64 / seconds / 1e9
        });
        println!(
            "{:>20} {:>10.1} {:>10.1} {:>10.1}",
            format!("{rows},{inputs},{outputs}"),
            rates[0],
            rates[1],
            rates[2]
        );
    }
    decoder(kernels);
    attention(kernels);
    windows(kernels);
    rows(kernels);
    team();
}

/// All weights of whisper-base's decoder once, as a step reads them: more than caches hold.
fn decoder(kernels: Kernels) {
    let layer = [(512, 1536), (512, 512), (512, 512), (512, 512), (512, 2048), (2048, 512)];
    let shapes: Vec<(usize, usize)> =
        std::iter::repeat_n(layer, 6).flatten().chain([(512, 51_865)]).collect();
    let weights = numbers(512 * 51_865);
    let mut out = vec![0.0; 16 * 51_865];
    for format in [Format::Float32, Format::Bfloat16, Format::Int8] {
        let layers: Vec<Linear> = shapes
            .iter()
            .map(|(inputs, outputs)| {
                Linear::new(kernels, format, *outputs, *inputs, &weights[..inputs * outputs], None)
            })
            .collect();
        let bytes: u64 = shapes
            .iter()
            .map(|&(inputs, outputs)| {
                LinearShape { kernels, format, outputs, inputs, has_bias: false }.bytes()
            })
            .sum();
        for threads in [1, 2] {
            let team = Team::new(threads);
            let lanes = team.enter();
            for rows in [1, 5, 16] {
                let mut inputs: Vec<Inputs> =
                    shapes.iter().map(|(width, _)| Inputs::new(rows, *width)).collect();
                for (layer, inputs) in layers.iter().zip(&mut inputs) {
                    for row in 0..rows {
                        layer.prepare(inputs, row, &weights[..layer.inputs()]);
                    }
                }
                let seconds = median(|| {
                    for (layer, inputs) in layers.iter().zip(&inputs) {
                        layer.forward(&lanes, inputs, rows, black_box(&mut out), layer.outputs(), Write::Set);
                    }
                });
                println!(
                    "a decoder's weights, {format:?}, {threads} threads, {rows} rows: {:.2} ms, {:.1} GB/s",
                    seconds * 1e3,
                    bytes as f64 / seconds / 1e9
                );
            }
        }
    }
}

fn attention(kernels: Kernels) {
    let (count, heads, width) = (1500, 8, 64);
    let data = numbers(count * heads * width);
    let team = Team::new(1);
    let lanes = team.enter();
    let all = Rows { data: &data, stride: heads * width, count };
    for format in [Format::Float32, Format::Bfloat16, Format::Int8] {
        let mut context = KeyValues::new(kernels, format, heads, width, count);
        let pack = median(|| context.fill(&lanes, all, all));
        let mut scratch = AttentionScratch::new(format, 48, count, width);
        let mut out = vec![0.0; 48 * width];
        for queries in [1, 5, 48] {
            let asked = Rows { count: queries, ..all };
            let seconds =
                median(|| context.attend(0, asked, 0.125, &mut scratch, black_box(&mut out), width));
            let operations = 4.0 * (queries * count * width) as f64;
            println!(
                "attention {format:?}, {queries} queries to {count} keys: {:.1} us, {:.1} GOP/s",
                seconds * 1e6,
                operations / seconds / 1e9
            );
        }
        println!("packing {count} keys and values of {heads} heads: {:.2} ms", pack * 1e3);
    }
}

/// What a token sees of a window in all layers of whisper-base's decoder.
fn windows(kernels: Kernels) {
    let (count, heads, width) = (1500, 8, 64);
    let data = numbers(count * heads * width);
    let all = Rows { data: &data, stride: heads * width, count };
    for (format, threads) in
        [(Format::Bfloat16, 1), (Format::Bfloat16, 2), (Format::Int8, 1), (Format::Int8, 2)]
    {
        let team = Team::new(threads);
        let lanes = team.enter();
        // More than caches hold, as other weights are read in between.
        let mut layers: Vec<KeyValues> =
            (0..24).map(|_| KeyValues::new(kernels, format, heads, width, count)).collect();
        layers.iter_mut().for_each(|layer| layer.fill(&lanes, all, all));
        let mut scratch: Vec<AttentionScratch> =
            (0..threads).map(|_| AttentionScratch::new(format, 1, count, width)).collect();
        let mut out = vec![0.0; heads * width];
        let seconds = median(|| {
            for layer in &layers {
                let heads = out.chunks_mut(width).enumerate().collect();
                lanes.for_each_with(heads, &mut scratch, |(head, out), scratch| {
                    let asked = Rows { data: &data[head * width..], stride: all.stride, count: 1 };
                    layer.attend(head, asked, 0.125, scratch, black_box(out), width);
                });
            }
        });
        let bytes = layers.len() as u64 * KeyValues::space_bytes(format, heads, width, count);
        println!(
            "a token and 24 windows, {format:?}, {threads} threads: {:.2} ms, {:.1} GB/s",
            seconds * 1e3,
            bytes as f64 / seconds / 1e9
        );
    }
}

fn rows(kernels: Kernels) {
    let mut row = numbers(2048);
    for activation in [Activation::Gelu, Activation::Silu] {
        let seconds = median(|| kernels.activate(activation, black_box(&mut row)));
        println!("{activation:?} of 2048: {:.2} us", seconds * 1e6);
    }
    let norm = LayerNorm { gain: numbers(512).into(), bias: numbers(512).into(), epsilon: 1e-5 };
    let (row, mut out) = (numbers(512), numbers(512));
    println!(
        "layer norm of 512: {:.3} us",
        median(|| kernels.layer_norm(&norm, black_box(&row), &mut out)) * 1e6
    );
    for format in [Format::Float32, Format::Bfloat16, Format::Int8] {
        let layer = Linear::new(kernels, format, 32, 512, &numbers(32 * 512), None);
        let mut inputs = Inputs::new(1, 512);
        let seconds = median(|| layer.prepare(&mut inputs, 0, black_box(&row)));
        println!("rounding 512 to {format:?}: {:.3} us", seconds * 1e6);
    }
    let mut logits = numbers(51_865);
    println!("log softmax of 51865: {:.1} us", median(|| kernels.log_softmax(black_box(&mut logits))) * 1e6);
    let seconds = median(|| {
        black_box(kernels.position_of_greatest(black_box(&logits)));
    });
    println!("greatest of 51865: {:.1} us", seconds * 1e6);
}

fn team() {
    let team = Team::new(2);
    let lanes = team.enter();
    let seconds = median(|| {
        for _ in 0..100 {
            lanes.split(2, |range| {
                black_box(range);
            });
        }
    });
    println!("sharing work with one other thread: {:.2} us", seconds / 100.0 * 1e6);
}
