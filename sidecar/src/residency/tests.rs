//! The promises of the module's head: on scripted cases, on every interleaving of small worlds, and on random ones in
//! larger worlds.

mod bug;
mod canonical;
mod cases;
mod cycles;
mod explore;
mod properties;
mod scenarios;
mod seeded_bugs;
mod world;
