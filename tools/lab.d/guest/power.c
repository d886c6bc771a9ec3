/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI without its tables: the lab's machine is always an i440FX, whose PIIX4 has its
 * power management registers where SeaBIOS puts them. QEMU notes a press only if the
 * button's event is enabled; the interrupt that comes with it is masked, so the status
 * is looked at with each tick. Sleep type 0 is S5 there.
 */
#include "power.h"

#include "port.h"

enum {
	PM1_STATUS = 0x600,
	PM1_ENABLE = 0x602,
	PM1_CONTROL = 0x604,
	POWER_BUTTON = 1 << 8,
	SLEEP_ENABLE = 1 << 13,
};

int power_wanted = 1;

void power_init(void)
{
	outw(PM1_STATUS, POWER_BUTTON); /* writing a one clears it */
	outw(PM1_ENABLE, POWER_BUTTON);
}

int power_is_pressed(void)
{
	if (!(inw(PM1_STATUS) & POWER_BUTTON))
		return 0;
	outw(PM1_STATUS, POWER_BUTTON);
	return 1;
}

void power_off(void)
{
	outw(PM1_CONTROL, SLEEP_ENABLE);
}
