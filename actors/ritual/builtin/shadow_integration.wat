;; shadow_integration: Light and Shadow come towards each other.      ABI: codex
;;
;;   step   = (shadow − light) / 4
;;   light  = light  + step
;;   shadow = shadow − step
;;
;; Each goes a quarter of the way, so the distance between them halves, and their sum stays what it was: nothing is taken
;; from one that the other does not get. Where at most a tenth is left between them they have met: the symbol "mandala".
;;
;;   Light 0.9, Shadow 0.1  →  Light 0.7, Shadow 0.3
;;   Light 0.6, Shadow 0.5  →  Light 0.575, Shadow 0.525, and the mandala
;;
;; Both have to be active (> 0); else the ritual fails and changes nothing. The resonance is 1 − the distance left.
(module
  (import "codex" "log" (func $log (param i32 i32)))
  (import "codex" "get_archetype_activation" (func $get (param i32 i32) (result f64)))
  (import "codex" "set_archetype_activation" (func $set (param i32 i32 f64)))
  (import "codex" "add_symbol" (func $add_symbol (param i32 i32)))

  (memory (export "memory") 1)
  (data (i32.const 0) "Light")
  (data (i32.const 8) "Shadow")
  (data (i32.const 16) "mandala")
  (data (i32.const 32) "Light and Shadow come closer")
  (data (i32.const 64) "Light and Shadow have met")
  (data (i32.const 96) "Light and Shadow must both be active")

  (global $distance (mut f64) (f64.const 1))

  (func (export "execute_ritual") (result i32)
    (local $light f64) (local $shadow f64) (local $step f64)
    (local.set $light (call $get (i32.const 0) (i32.const 5)))
    (local.set $shadow (call $get (i32.const 8) (i32.const 6)))
    (if (i32.or (f64.le (local.get $light) (f64.const 0)) (f64.le (local.get $shadow) (f64.const 0)))
      (then
        (call $log (i32.const 96) (i32.const 36))
        (return (i32.const 1))))

    (local.set $step (f64.div (f64.sub (local.get $shadow) (local.get $light)) (f64.const 4)))
    (local.set $light (f64.add (local.get $light) (local.get $step)))
    (local.set $shadow (f64.sub (local.get $shadow) (local.get $step)))
    (call $set (i32.const 0) (i32.const 5) (local.get $light))
    (call $set (i32.const 8) (i32.const 6) (local.get $shadow))

    (global.set $distance (f64.abs (f64.sub (local.get $light) (local.get $shadow))))
    (if (f64.le (global.get $distance) (f64.const 0.1))
      (then
        (call $log (i32.const 64) (i32.const 25))
        (call $add_symbol (i32.const 16) (i32.const 7)))
      (else
        (call $log (i32.const 32) (i32.const 28))))
    (i32.const 0))

  (func (export "get_resonance") (result f64)
    (f64.sub (f64.const 1) (global.get $distance))))
