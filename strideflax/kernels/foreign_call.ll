; What XLA calls instead of Python: a list of C calls, written down as numbers by foreign_call.py and carried out here.
;
; The words of a list:
;   0 number of slots | 1 start of "prepare" | 2 of "run" | 3 of "clean up" | 4 of "release" | 5 end | 6 ... the slots
; A call in it:
;   function in @functions | slot for its answer, or -1: the answer is a status, and any but 0 ends the list
;   | number of arguments | for each: its kind, and a number
; The kinds: 0 the number itself, 1 what the slot of that number holds, 2 the address of that slot.
;
; foreign_call.py appends @functions and @complaints, an address each. XLA gives @state_type its number.

@format = private constant [16 x i8] c"%s (it says %d)\00"

declare ptr @malloc(i64)
declare void @free(ptr)
declare ptr @memcpy(ptr, ptr, i64)
declare i32 @snprintf(ptr, i64, ptr, ...)

define private i64 @word(ptr %base, i64 %index) alwaysinline {
  %place = getelementptr i64, ptr %base, i64 %index
  %value = load i64, ptr %place
  ret i64 %value
}

define private ptr @address(ptr %base, i64 %index) alwaysinline {
  %place = getelementptr i64, ptr %base, i64 %index
  %value = load ptr, ptr %place
  ret ptr %value
}

define private void @put(ptr %base, i64 %index, i64 %value) alwaysinline {
  %place = getelementptr i64, ptr %base, i64 %index
  store i64 %value, ptr %place
  ret void
}

; Carry out the part of the list that starts at words[part]. Return 0, or status << 32 | function of the call that failed.
define i64 @carry_out(ptr %words, ptr %slots, i64 %part) {
start:
  %arguments = alloca [16 x i64]
  %first = call i64 @word(ptr %words, i64 %part)
  %next_part = add i64 %part, 1
  %end = call i64 @word(ptr %words, i64 %next_part)
  br label %next

next:
  %at = phi i64 [ %first, %start ], [ %after, %went_well ]
  %is_call = icmp slt i64 %at, %end
  br i1 %is_call, label %read, label %done

read:
  %call = getelementptr i64, ptr %words, i64 %at
  %function_number = call i64 @word(ptr %call, i64 0)
  %answer_slot = call i64 @word(ptr %call, i64 1)
  %count = call i64 @word(ptr %call, i64 2)
  br label %next_argument

next_argument:
  %n = phi i64 [ 0, %read ], [ %n_after, %have_argument ]
  %is_argument = icmp slt i64 %n, %count
  br i1 %is_argument, label %argument, label %invoke

argument:
  %twice = mul i64 %n, 2
  %kind_at = add i64 %twice, 3
  %number_at = add i64 %twice, 4
  %kind = call i64 @word(ptr %call, i64 %kind_at)
  %number = call i64 @word(ptr %call, i64 %number_at)
  switch i64 %kind, label %have_argument [
    i64 1, label %held
    i64 2, label %place
  ]

held:
  %content = call i64 @word(ptr %slots, i64 %number)
  br label %have_argument

place:
  %slot = getelementptr i64, ptr %slots, i64 %number
  %slot_address = ptrtoint ptr %slot to i64
  br label %have_argument

have_argument:
  %value = phi i64 [ %number, %argument ], [ %content, %held ], [ %slot_address, %place ]
  call void @put(ptr %arguments, i64 %n, i64 %value)
  %n_after = add i64 %n, 1
  br label %next_argument

; By the calling convention of x86-64 Linux a function finds its arguments whatever follows them.
invoke:
  %function = call ptr @address(ptr @functions, i64 %function_number)
  %a0 = call i64 @word(ptr %arguments, i64 0)
  %a1 = call i64 @word(ptr %arguments, i64 1)
  %a2 = call i64 @word(ptr %arguments, i64 2)
  %a3 = call i64 @word(ptr %arguments, i64 3)
  %a4 = call i64 @word(ptr %arguments, i64 4)
  %a5 = call i64 @word(ptr %arguments, i64 5)
  %a6 = call i64 @word(ptr %arguments, i64 6)
  %a7 = call i64 @word(ptr %arguments, i64 7)
  %a8 = call i64 @word(ptr %arguments, i64 8)
  %a9 = call i64 @word(ptr %arguments, i64 9)
  %a10 = call i64 @word(ptr %arguments, i64 10)
  %a11 = call i64 @word(ptr %arguments, i64 11)
  %a12 = call i64 @word(ptr %arguments, i64 12)
  %answer = call i64 %function(i64 %a0, i64 %a1, i64 %a2, i64 %a3, i64 %a4, i64 %a5, i64 %a6, i64 %a7, i64 %a8, i64 %a9,
                               i64 %a10, i64 %a11, i64 %a12)
  %words_of_arguments = mul i64 %count, 2
  %length = add i64 %words_of_arguments, 3
  %after = add i64 %at, %length
  %is_value = icmp sge i64 %answer_slot, 0
  br i1 %is_value, label %keep, label %check

keep:
  call void @put(ptr %slots, i64 %answer_slot, i64 %answer)
  br label %went_well

check:
  %status = trunc i64 %answer to i32
  %is_zero = icmp eq i32 %status, 0
  br i1 %is_zero, label %went_well, label %failed

went_well:
  br label %next

failed:
  %upper = shl i64 %answer, 32
  %failure = or i64 %upper, %function_number
  ret i64 %failure

done:
  ret i64 0
}

; Make an error of XLA's from what @carry_out returned.
define private ptr @error(ptr %interface, i64 %failure) {
  %text = alloca [512 x i8]
  %request = alloca [4 x i64]
  %status_wide = ashr i64 %failure, 32
  %status = trunc i64 %status_wide to i32
  %function_number = and i64 %failure, 4294967295
  %complaint = call ptr @address(ptr @complaints, i64 %function_number)
  call i32 (ptr, i64, ptr, ...) @snprintf(ptr %text, i64 512, ptr @format, ptr %complaint, i32 %status)
  %text_word = ptrtoint ptr %text to i64
  call void @put(ptr %request, i64 0, i64 32)
  call void @put(ptr %request, i64 1, i64 0)
  call void @put(ptr %request, i64 2, i64 %text_word)
  call void @put(ptr %request, i64 3, i64 13)
  %create_error = call ptr @address(ptr %interface, i64 6)
  %made = call ptr %create_error(ptr %request)
  ret ptr %made
}

; What XLA calls: its frame is described in xla/ffi/api/c_api.h. In words: 1 extension | 2 interface | 3 context | 4 stage |
; 7 number and 9 addresses of the operands | 12 and 14 of the results | 17 and 20 of the attributes.
define ptr @handle(ptr %frame) {
  %extension = call ptr @address(ptr %frame, i64 1)
  %is_plain = icmp eq ptr %extension, null
  br i1 %is_plain, label %by_stage, label %describe

; XLA asks which version of its interface this is written for: 0.3.
describe:
  %metadata = call ptr @address(ptr %extension, i64 3)
  call void @put(ptr %metadata, i64 3, i64 12884901888)
  ret ptr null

by_stage:
  %interface = call ptr @address(ptr %frame, i64 2)
  %context = call i64 @word(ptr %frame, i64 3)
  %stage_word = call i64 @word(ptr %frame, i64 4)
  %stage = trunc i64 %stage_word to i32
  %request = alloca [6 x i64]
  %state_type = ptrtoint ptr @state_type to i64
  call void @put(ptr %request, i64 0, i64 48)
  call void @put(ptr %request, i64 1, i64 0)
  call void @put(ptr %request, i64 2, i64 %context)
  call void @put(ptr %request, i64 3, i64 0)
  call void @put(ptr %request, i64 4, i64 %state_type)
  %is_new = icmp eq i32 %stage, 0
  br i1 %is_new, label %instantiate, label %execute

; A program was compiled or loaded: copy the list, which is its only attribute, prepare, and let XLA keep it with the program.
instantiate:
  %attributes = call ptr @address(ptr %frame, i64 20)
  %attribute = call ptr @address(ptr %attributes, i64 0)
  %count = call i64 @word(ptr %attribute, i64 1)
  %list = call ptr @address(ptr %attribute, i64 2)
  %bytes = mul i64 %count, 8
  %state = call ptr @malloc(i64 %bytes)
  call ptr @memcpy(ptr %state, ptr %list, i64 %bytes)
  %state_slots = getelementptr i64, ptr %state, i64 6
  %unprepared = call i64 @carry_out(ptr %state, ptr %state_slots, i64 1)
  %is_prepared = icmp eq i64 %unprepared, 0
  br i1 %is_prepared, label %hand_over, label %refuse

refuse:
  call void @release(ptr %state)
  %refusal = call ptr @error(ptr %interface, i64 %unprepared)
  ret ptr %refusal

hand_over:
  %state_word = ptrtoint ptr %state to i64
  call void @put(ptr %request, i64 5, i64 %state_word)
  %set_state = call ptr @address(ptr %interface, i64 13)
  %not_set = call ptr %set_state(ptr %request)
  %is_set = icmp eq ptr %not_set, null
  br i1 %is_set, label %well, label %not_taken

not_taken:
  call void @release(ptr %state)
  ret ptr %not_set

; The program runs, maybe on several threads at once: each call has its own slots.
execute:
  %get_state = call ptr @address(ptr %interface, i64 14)
  %not_found = call ptr %get_state(ptr %request)
  %is_found = icmp eq ptr %not_found, null
  br i1 %is_found, label %run, label %not_there

not_there:
  ret ptr %not_found

run:
  %words = call ptr @address(ptr %request, i64 5)
  %prepared_slots = getelementptr i64, ptr %words, i64 6
  %number = call i64 @word(ptr %words, i64 0)
  %bytes_of_slots = mul i64 %number, 8
  %slots = alloca i64, i64 %number
  call ptr @memcpy(ptr %slots, ptr %prepared_slots, i64 %bytes_of_slots)
  %operands = call ptr @address(ptr %frame, i64 9)
  %results = call ptr @address(ptr %frame, i64 14)
  %left = call ptr @address(ptr %operands, i64 0)
  %right = call ptr @address(ptr %operands, i64 1)
  %result = call ptr @address(ptr %results, i64 0)
  %left_data = call i64 @word(ptr %left, i64 3)
  %right_data = call i64 @word(ptr %right, i64 3)
  %result_data = call i64 @word(ptr %result, i64 3)
  call void @put(ptr %slots, i64 0, i64 %left_data)
  call void @put(ptr %slots, i64 1, i64 %right_data)
  call void @put(ptr %slots, i64 2, i64 %result_data)
  %failure = call i64 @carry_out(ptr %words, ptr %slots, i64 2)
  call i64 @carry_out(ptr %words, ptr %slots, i64 3)
  %is_well = icmp eq i64 %failure, 0
  br i1 %is_well, label %well, label %complain

complain:
  %failed = call ptr @error(ptr %interface, i64 %failure)
  ret ptr %failed

well:
  ret ptr null
}

; Forget a list: XLA calls this with the state when the program is freed.
define void @release(ptr %words) {
  %slots = getelementptr i64, ptr %words, i64 6
  call i64 @carry_out(ptr %words, ptr %slots, i64 4)
  call void @free(ptr %words)
  ret void
}

@state_type = global i64 0
@state_information = constant { i64, ptr, ptr } { i64 24, ptr null, ptr @release }
