;; energy_attunement: the four elements tune to each other.      ABI: codex
;;
;;   mean  = (fire + water + earth + air) / 4
;;   level = level + (mean − level) / 2          for each of the four
;;
;; Each goes half of the way to their mean, so every distance between two of them halves and their total stays what it was.
;; Where the highest and the lowest are at most a tenth apart then, they sound together: the symbol "quaternity".
;;
;;   fire 0.9, water 0.1, earth 0.3, air 0.3 (mean 0.4)  →  fire 0.65, water 0.25, earth 0.35, air 0.35
;;
;; All four have to flow (> 0); else the ritual fails and changes nothing. The resonance is 1 − (highest − lowest).
(module
  (import "codex" "log" (func $log (param i32 i32)))
  (import "codex" "get_energy_amplitude" (func $get (param i32 i32) (result f64)))
  (import "codex" "set_energy_amplitude" (func $set (param i32 i32 f64)))
  (import "codex" "add_symbol" (func $add_symbol (param i32 i32)))

  (memory (export "memory") 1)
  (data (i32.const 0) "fire")
  (data (i32.const 8) "water")
  (data (i32.const 16) "earth")
  (data (i32.const 24) "air")
  (data (i32.const 32) "quaternity")
  (data (i32.const 48) "the elements tune to each other")
  (data (i32.const 80) "the elements sound together")
  (data (i32.const 112) "fire, water, earth and air must all flow")

  (global $spread (mut f64) (f64.const 1))

  ;; Half of the way from a level to the mean; the new level is set under its name and given back.
  (func $attune (param $name i32) (param $length i32) (param $level f64) (param $mean f64) (result f64)
    (local $new f64)
    (local.set $new
      (f64.add
        (local.get $level)
        (f64.div (f64.sub (local.get $mean) (local.get $level)) (f64.const 2))))
    (call $set (local.get $name) (local.get $length) (local.get $new))
    (local.get $new))

  (func $lowest (param $a f64) (param $b f64) (param $c f64) (param $d f64) (result f64)
    (f64.min (f64.min (local.get $a) (local.get $b)) (f64.min (local.get $c) (local.get $d))))

  (func $highest (param $a f64) (param $b f64) (param $c f64) (param $d f64) (result f64)
    (f64.max (f64.max (local.get $a) (local.get $b)) (f64.max (local.get $c) (local.get $d))))

  (func (export "execute_ritual") (result i32)
    (local $fire f64) (local $water f64) (local $earth f64) (local $air f64) (local $mean f64)
    (local.set $fire (call $get (i32.const 0) (i32.const 4)))
    (local.set $water (call $get (i32.const 8) (i32.const 5)))
    (local.set $earth (call $get (i32.const 16) (i32.const 5)))
    (local.set $air (call $get (i32.const 24) (i32.const 3)))
    (if (f64.le
          (call $lowest (local.get $fire) (local.get $water) (local.get $earth) (local.get $air))
          (f64.const 0))
      (then
        (call $log (i32.const 112) (i32.const 40))
        (return (i32.const 1))))

    (local.set $mean
      (f64.div
        (f64.add
          (f64.add (local.get $fire) (local.get $water))
          (f64.add (local.get $earth) (local.get $air)))
        (f64.const 4)))
    (local.set $fire (call $attune (i32.const 0) (i32.const 4) (local.get $fire) (local.get $mean)))
    (local.set $water (call $attune (i32.const 8) (i32.const 5) (local.get $water) (local.get $mean)))
    (local.set $earth (call $attune (i32.const 16) (i32.const 5) (local.get $earth) (local.get $mean)))
    (local.set $air (call $attune (i32.const 24) (i32.const 3) (local.get $air) (local.get $mean)))

    (global.set $spread
      (f64.sub
        (call $highest (local.get $fire) (local.get $water) (local.get $earth) (local.get $air))
        (call $lowest (local.get $fire) (local.get $water) (local.get $earth) (local.get $air))))
    (if (f64.le (global.get $spread) (f64.const 0.1))
      (then
        (call $log (i32.const 80) (i32.const 27))
        (call $add_symbol (i32.const 32) (i32.const 10)))
      (else
        (call $log (i32.const 48) (i32.const 31))))
    (i32.const 0))

  (func (export "get_resonance") (result f64)
    (f64.sub (f64.const 1) (global.get $spread))))
