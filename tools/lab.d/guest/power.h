/* SPDX-License-Identifier: Apache-2.0 */
/* The power button (virsh shutdown), and off. */
#pragma once

/* 0: a press is not listened to. */
extern int power_wanted;

/* From now on a press leaves its mark. */
void power_init(void);

/* Has it been pressed? A press counts once. */
int power_is_pressed(void);

/* The machine is off. */
void power_off(void);
