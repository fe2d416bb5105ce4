;; {{name}}: the Sage gains a quarter of what it lacks; from 0.7 on, a lantern is seen.      ABI: codex
;;
;; The other functions of "codex", with the same kinds of parameters: get_energy_amplitude, set_energy_amplitude,
;; and get_random (no parameter, a number in [0, 1)).
(module
  (import "codex" "log" (func $log (param i32 i32)))
  (import "codex" "get_archetype_activation" (func $get (param i32 i32) (result f64)))
  (import "codex" "set_archetype_activation" (func $set (param i32 i32 f64)))
  (import "codex" "add_symbol" (func $add_symbol (param i32 i32)))

  (memory (export "memory") 1)
  (data (i32.const 0) "Sage")
  (data (i32.const 16) "lantern")
  (data (i32.const 32) "the Sage comes nearer")

  (global $sage (mut f64) (f64.const 0))

  ;; 0 is success; with anything else the ritual fails, and nothing is changed.
  (func (export "execute_ritual") (result i32)
    (global.set $sage (call $get (i32.const 0) (i32.const 4)))
    (global.set $sage
      (f64.add
        (global.get $sage)
        (f64.div (f64.sub (f64.const 1) (global.get $sage)) (f64.const 4))))
    (call $set (i32.const 0) (i32.const 4) (global.get $sage))
    (call $log (i32.const 32) (i32.const 21))
    (if (f64.ge (global.get $sage) (f64.const 0.7))
      (then (call $add_symbol (i32.const 16) (i32.const 7))))
    (i32.const 0))

  ;; Optional: how strongly the ritual resonated, as a number for the result.
  (func (export "get_resonance") (result f64)
    (global.get $sage)))
