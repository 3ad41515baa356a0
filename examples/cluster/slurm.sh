#!/bin/bash
# Two machines with four GPUs each:   sbatch examples/cluster/slurm.sh
# Slurm's signal two minutes before the limit makes kallima finish the step and save; the job then queues itself again
# and goes on from there.
#SBATCH --job-name=kallima
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append

RUN=${RUN:-runs/photos}
DATA=${DATA:-photos/}

if [ -f "$RUN/run.json" ]; then
    WORK=(resume "$RUN")
else
    WORK=(train dcgan --data "$DATA" --size 64 --batch-size 512 --steps 200000 --out "$RUN")
fi

HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node 4 \
    --rdzv-backend c10d --rdzv-endpoint "$HEAD:29500" --rdzv-id "$SLURM_JOB_ID" \
    -m kallima "${WORK[@]}"

STATUS=$(python -c "import json, sys; print(json.load(open(sys.argv[1]))['status'])" "$RUN/run.json")
if [ "$STATUS" = interrupted ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
